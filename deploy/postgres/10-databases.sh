#!/bin/bash
# Runs once, on an empty volume: a database for Faultline and one for MLflow, each with an owner
# that sees nothing of the other.
set -euo pipefail

create() { # NAME PASSWORD
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}

create faultline "$FAULTLINE_DB_PASSWORD"
create mlflow "$MLFLOW_DB_PASSWORD"
