#!/usr/bin/env bash
# Puts a backup into an empty platform, after checking it, and checks what came of it.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "FILE [--docker|--local]" "       $SELF.sh --check [--docker|--local]" \
    "Restores an archive of backup.sh into an empty platform: one without runs, models and" \
    "artifacts. Nothing is changed when the archive is damaged or the platform is not empty." \
    "With Docker the server is stopped meanwhile, and started again. --check only says whether the" \
    "platform is empty, by ending with 1 when it is not."
}
arguments "$@"

[[ ${#ARGS[@]} -eq 1 ]] || die "needs the archive's file (--help says more)"
file=${ARGS[0]}
if [[ $file == --check ]]; then
  if [[ $PLATFORM == docker ]]; then
    server_runs || die "the platform is down: start.sh first"
    in_server --check
  else
    tool archive require-empty
  fi
  exit
fi
[[ $file == - || -r $file ]] || die "$file cannot be read"

if [[ $PLATFORM == docker ]]; then
  make_env
  running=$(server_runs && echo yes || true)
  # Whoever is refused has no server stopped for it.
  [[ -z $running ]] || in_server --check
  [[ -z $running ]] || docker compose stop mlflow
  status=0
  # As they were made, whatever is in the environment now.
  if wants_postgres; then docker compose up --detach --wait --no-recreate postgres; fi
  if [[ $file == - ]]; then beside_server - || status=$?; else beside_server - <"$file" || status=$?; fi
  [[ -z $running ]] || docker compose up --detach --wait --no-recreate mlflow
  exit "$status"
fi
if [[ $file == - ]]; then tool archive restore; else tool archive restore <"$file"; fi
