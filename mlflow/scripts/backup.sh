#!/usr/bin/env bash
# Writes the database and the artifacts into one archive with a manifest and checksums.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "[FILE_OR_FOLDER] [--docker|--local]" \
    "Writes one archive, mlflow-backup-DATE.tar.gz in ./backups unless said otherwise, and reads" \
    "it again to verify it. The platform may run meanwhile. FILE - is standard output."
}
arguments "$@"

[[ ${#ARGS[@]} -le 1 ]] || die "one file or folder at most (--help says more)"
target=${ARGS[0]:-backups}
if [[ $target == - ]]; then
  [[ $PLATFORM == docker ]] && exec docker compose exec -T mlflow /opt/platform/entrypoint.sh backup -
  tool archive backup
  exit
fi
# What ends in a slash, or has no extension, is a folder.
if [[ -d $target || $target != *.* ]]; then
  target=${target%/}/mlflow-backup-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
fi
[[ ! -e $target ]] || die "$target is there already"
mkdir -p -- "$(dirname -- "$target")"
partial=$target.partial
trap 'rm -f -- "$partial"' EXIT

# It holds everything, so it is for its owner alone.
umask 077
if [[ $PLATFORM == docker ]]; then
  server_runs || die "the platform is down: start.sh first"
  in_server - >"$partial"
  docker compose exec -T mlflow python /opt/platform/tools/archive.py verify <"$partial" >&2
else
  tool archive backup >"$partial"
  tool archive verify <"$partial" >&2
fi
mv -- "$partial" "$target"
echo "$target"
