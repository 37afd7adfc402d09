#!/usr/bin/env bash
# Stops the platform. What it keeps stays.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() { usage "[--docker|--local]" "Stops the platform. Its database and artifacts stay."; }
arguments "$@"
[[ ${#ARGS[@]} -eq 0 ]] || die "unknown option ${ARGS[0]} (--help shows them)"

case $PLATFORM in
  docker)
    require_own "docker compose stop mlflow"
    docker compose --profile serving --profile upgrade down
    ;;
  local) "$PYTHON" -m faultline down ;;
esac
