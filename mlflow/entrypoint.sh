#!/usr/bin/env bash
# Starts what the container is for: the server (the default), the model server, one of the scripts,
# or any other command.
set -euo pipefail

platform=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

die() {
  echo "mlflow platform: $*" >&2
  exit 1
}

# A secret may come as NAME_FILE, the path of a file that holds it.
secret() {
  local name=$1 file_variable=${1}_FILE
  local file=${!file_variable:-}
  [[ -n $file ]] || return 0
  [[ -z ${!name:-} ]] || die "both $name and $file_variable are set: give one"
  [[ -r $file ]] || die "$file_variable: $file cannot be read"
  printf -v "$name" '%s' "$(<"$file")"
  export "${name?}"
}

# Without MLFLOW_BACKEND_STORE_URI the parts of it are taken, as the image of PostgreSQL names them.
backend() {
  secret POSTGRES_PASSWORD
  if [[ -z ${MLFLOW_BACKEND_STORE_URI:-} ]]; then
    [[ -n ${POSTGRES_PASSWORD:-} ]] || die "no database: set MLFLOW_BACKEND_STORE_URI" \
      "(sqlite:////mlflow/mlflow.db keeps it in the volume), or POSTGRES_PASSWORD"
    MLFLOW_BACKEND_STORE_URI=$(python -c '
import os
from urllib.parse import quote
e = os.environ.get
user, password = quote(e("POSTGRES_USER", "mlflow"), ""), quote(e("POSTGRES_PASSWORD"), "")
host, port = e("POSTGRES_HOST", "postgres"), e("POSTGRES_PORT", "5432")
database = quote(e("POSTGRES_DB", "mlflow"), "")
print(f"postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}")')
  fi
  export MLFLOW_BACKEND_STORE_URI
  export MLFLOW_ARTIFACTS_DESTINATION=$MLFLOW_ARTIFACT_ROOT
}

# MLflow's accounts. Their tables have names of their own, so they may share the database.
authentication() {
  secret MLFLOW_AUTH_ADMIN_PASSWORD
  secret MLFLOW_FLASK_SERVER_SECRET_KEY
  [[ -n ${MLFLOW_AUTH_ADMIN_PASSWORD:-} ]] || die "MLFLOW_AUTH is basic: set" \
    "MLFLOW_AUTH_ADMIN_PASSWORD or MLFLOW_AUTH_ADMIN_PASSWORD_FILE; there is no default"
  [[ -n ${MLFLOW_FLASK_SERVER_SECRET_KEY:-} ]] || die "MLFLOW_AUTH is basic: set" \
    "MLFLOW_FLASK_SERVER_SECRET_KEY or its _FILE, the same on every server:" \
    "openssl rand -hex 32"
  export MLFLOW_AUTH_CONFIG_PATH=${MLFLOW_AUTH_CONFIG_PATH:-/tmp/basic_auth.ini}
  if [[ ! -e $MLFLOW_AUTH_CONFIG_PATH || $MLFLOW_AUTH_CONFIG_PATH == /tmp/basic_auth.ini ]]; then
    local database=${MLFLOW_AUTH_DATABASE_URI:-$MLFLOW_BACKEND_STORE_URI}
    # Per cent signs are special in the file.
    (
      umask 077
      printf '%s\n' '[mlflow]' \
        "default_permission = ${MLFLOW_AUTH_DEFAULT_PERMISSION:-READ}" \
        "database_uri = ${database//%/%%}" \
        "admin_username = ${MLFLOW_AUTH_ADMIN_USERNAME:-admin}" >"$MLFLOW_AUTH_CONFIG_PATH"
    )
  fi
}

server() {
  backend
  local options=(--host 0.0.0.0 --port 5000 --workers "${MLFLOW_WORKERS:-2}" --serve-artifacts)
  case ${MLFLOW_HTTP_SERVER:-uvicorn} in
    uvicorn) options+=(--uvicorn-opts "${MLFLOW_HTTP_SERVER_OPTS:---timeout-graceful-shutdown 20}") ;;
    gunicorn) options+=(--gunicorn-opts "${MLFLOW_HTTP_SERVER_OPTS:---timeout 120 --access-logfile -}") ;;
    *) die "MLFLOW_HTTP_SERVER is '$MLFLOW_HTTP_SERVER': uvicorn or gunicorn" ;;
  esac
  case ${MLFLOW_AUTH:-none} in
    none) ;;
    basic)
      authentication
      options+=(--app-name basic-auth)
      ;;
    *) die "MLFLOW_AUTH is '$MLFLOW_AUTH': none or basic" ;;
  esac
  # An upgrade is a step of its own.
  python "$platform/tools/upgrade.py" --check
  exec mlflow server "${options[@]}" "$@"
}

command=${1:-server}
[[ $# -eq 0 ]] || shift
case $command in
  server) server "$@" ;;
  serve-model)
    [[ $# -gt 0 ]] || set -- "${MODEL_NAME:?the registered model to serve}" "${MODEL_VERSION:-production}"
    exec "$platform/scripts/serve-model.sh" --host 0.0.0.0 "$@"
    ;;
  upgrade | backup | restore | cleanup | health-check)
    backend
    # The account by which the scripts ask a server that has accounts.
    secret MLFLOW_AUTH_ADMIN_PASSWORD
    exec "$platform/scripts/$command.sh" "$@"
    ;;
  *) exec "$command" "$@" ;;
esac
