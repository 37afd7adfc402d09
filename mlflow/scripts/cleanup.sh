#!/usr/bin/env bash
# Removes old runs and orphaned artifacts; only shows them unless told to.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "[--older-than 90] [--trash-days 30] [--apply] [--docker|--local]" \
    "Shows what is old and unused; with --apply it goes:" \
    "  runs that finished more than --older-than days ago are deleted (they can be restored);" \
    "  what was deleted more than --trash-days ago goes for good, by \`mlflow gc\`;" \
    "  artifacts of which the database knows nothing go for good." \
    "A run behind a registered version stays, whatever its age, and so does one tagged keep=true."
}
arguments "$@"

if [[ $PLATFORM == docker ]]; then
  server_runs || die "the platform is down: start.sh first"
  in_server ${ARGS[@]+"${ARGS[@]}"}
else
  tool cleanup ${ARGS[@]+"${ARGS[@]}"}
fi
