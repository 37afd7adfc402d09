#!/bin/bash
# Airflow's database with an owner that sees nothing of the others. Called again it changes nothing
# but the owner's password, so one that was changed in .env takes effect.
set -euo pipefail
: "${AIRFLOW_DB_PASSWORD:?is not set; .env.example says which variables the profile airflow needs}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host postgres --username postgres --dbname postgres \
  --set password="$AIRFLOW_DB_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE airflow' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'airflow')
\gexec
ALTER ROLE airflow LOGIN PASSWORD :'password';
SELECT 'CREATE DATABASE airflow OWNER airflow'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'airflow')
\gexec
REVOKE CONNECT ON DATABASE airflow FROM PUBLIC;
SQL
