#!/usr/bin/env bash
# Starts the platform and waits until it is healthy.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "[--docker|--local] [options of faultline up]" \
    "Starts the platform and waits until it is healthy." \
    "The first start with Docker builds the image and makes passwords in .env; ports and addresses" \
    "that are given in the environment are kept there." \
    "Without Docker it is the whole local stack: --port-base 9000 gives it other ports."
}
arguments "$@"

case $PLATFORM in
  docker)
    [[ ${#ARGS[@]} -eq 0 ]] || die "unknown option ${ARGS[0]} (--help shows them)"
    require_own "docker compose up --build --wait mlflow"
    make_env
    keep_given
    if wants_postgres; then
      docker compose up --detach --build --wait mlflow
    else
      docker compose up --detach --build --wait --no-deps mlflow
    fi
    say "MLflow answers at http://$(docker compose port mlflow 5000)"
    ;;
  local)
    if (find_platform) 2>/dev/null; then
      find_platform
    else
      "$PYTHON" -m faultline up --detach ${ARGS[@]+"${ARGS[@]}"}
      find_platform
    fi
    say "MLflow answers at $MLFLOW_TRACKING_URI"
    ;;
esac
