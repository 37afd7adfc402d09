#!/usr/bin/env bash
# Puts a backup into an empty platform, after checking it, and checks what came of it.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "FILE [--docker|--local]" \
    "Restores an archive of backup.sh into an empty platform: one without runs, models and" \
    "artifacts. Nothing is changed when the archive is damaged or the platform is not empty." \
    "With Docker the server is stopped meanwhile, and started again."
}
arguments "$@"

[[ ${#ARGS[@]} -eq 1 ]] || die "needs the archive's file (--help says more)"
file=${ARGS[0]}
[[ $file == - || -r $file ]] || die "$file cannot be read"

if [[ $PLATFORM == docker ]]; then
  make_env
  running=$(server_runs && echo yes || true)
  [[ -z $running ]] || docker compose stop mlflow
  status=0
  if [[ -n $(docker compose config --services | grep -x postgres || true) ]]; then
    docker compose up --detach --wait postgres
  fi
  if [[ $file == - ]]; then beside_server - || status=$?; else beside_server - <"$file" || status=$?; fi
  [[ -z $running ]] || docker compose up --detach --wait mlflow
  exit "$status"
fi
if [[ $file == - ]]; then tool archive restore; else tool archive restore <"$file"; fi
