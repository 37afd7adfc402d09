#!/usr/bin/env bash
# Brings the database's tables to the form that the installed MLflow expects.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "[--docker|--local]" "Brings the tables up to date, after MLflow was replaced by a newer one." \
    "Make a backup first. With Docker the server is stopped meanwhile, and started again."
}
arguments "$@"

case $PLATFORM in
  docker)
    running=$(server_runs && echo yes || true)
    docker compose build mlflow
    [[ -z $running ]] || docker compose stop mlflow
    # The same as the compose service `upgrade`, which other compose files need not have.
    docker compose run --rm -T mlflow upgrade
    [[ -z $running ]] || docker compose up --detach --wait mlflow
    ;;
  *)
    tool upgrade
    ;;
esac
