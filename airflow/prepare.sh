#!/bin/bash
# Before Airflow starts: its tables, and the first user. Called again it changes only the password.
set -euo pipefail
for name in AIRFLOW__CORE__FERNET_KEY AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET ADMIN_PASSWORD; do
  [ -n "${!name:-}" ] || {
    echo "$name is empty: .env.example says which variables the profile airflow needs" >&2
    exit 1
  }
done

airflow db migrate
airflow users create --role Admin --username "$ADMIN_USERNAME" --password "$ADMIN_PASSWORD" \
  --firstname Faultline --lastname Operator --email "$ADMIN_USERNAME@localhost"
airflow users reset-password --username "$ADMIN_USERNAME" --password "$ADMIN_PASSWORD"
