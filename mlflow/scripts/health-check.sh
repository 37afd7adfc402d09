#!/usr/bin/env bash
# Says whether the platform is well, and if not, what is wrong: server, database, artifacts, disk.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "[--min-free-gb 1] [--docker|--local]" \
    "Checks server, database, artifact store and disk; ends with 1 when one is not well."
}
arguments "$@"

if [[ $PLATFORM != docker ]]; then
  tool health ${ARGS[@]+"${ARGS[@]}"}
elif server_runs; then
  in_server ${ARGS[@]+"${ARGS[@]}"}
else
  echo "FAIL  server         its container does not run: start.sh; the end of its log:"
  docker compose logs --no-color --tail 15 mlflow 2>/dev/null | sed 's/^/      /'
  # What else may be the cause is seen without the server.
  beside_server ${ARGS[@]+"${ARGS[@]}"} 2>/dev/null | grep -v ' server ' || true
  exit 1
fi
