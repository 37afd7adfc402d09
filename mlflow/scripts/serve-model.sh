#!/usr/bin/env bash
# Serves a registered model with MLflow's own model server: POST /invocations.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

help() {
  usage "NAME VERSION_OR_ALIAS [--port 5002] [--host 127.0.0.1] [--docker|--local]" \
    "Serves a registered model at /invocations: a version (3), an alias (production) or a stage" \
    "(Production). With Docker it runs on in the background until stop.sh; else until Ctrl-C."
}
arguments "$@"

port=${SERVE_PORT:-5002} host=127.0.0.1 check=
positional=()
set -- ${ARGS[@]+"${ARGS[@]}"}
while [[ $# -gt 0 ]]; do
  case $1 in
    --port | --host)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      [[ $1 == --port ]] && port=$2 || host=$2
      shift
      ;;
    # Only says whether there is such a version; asked of the server's container before one is made.
    --check) check=yes ;;
    -*) die "unknown option $1 (--help shows them)" ;;
    *) positional+=("$1") ;;
  esac
  shift
done
[[ ${#positional[@]} -eq 2 ]] || die "needs NAME and VERSION_OR_ALIAS (--help says more)"
name=${positional[0]} which=${positional[1]}
[[ $port =~ ^[0-9]+$ ]] || die "port '$port' is no number"

if [[ $PLATFORM == docker ]]; then
  require_own "with --local and MLFLOW_TRACKING_URI it serves any other server's models"
  server_runs || die "the platform is down: start.sh first"
  in_server --check "$name" "$which"
  export MODEL_NAME=$name MODEL_VERSION=$which SERVE_PORT=$port BIND_ADDRESS=$host
  if ! docker compose --profile serving up --detach --build --wait --no-deps serving; then
    say "models:/$name $which is not served; the end of its log:"
    docker compose --profile serving logs --no-color --no-log-prefix --tail 5 serving >&2
    docker compose --profile serving rm --stop --force serving
    exit 1
  fi
  say "models:/$name $which answers at http://$host:$port/invocations"
  exit
fi

[[ -n ${MLFLOW_TRACKING_URI:-} ]] || find_platform
case $which in
  None | Staging | Production | Archived | *[!0-9]*)
    case $which in
      None | Staging | Production | Archived) uri=models:/$name/$which ;;
      *) uri=models:/$name@$which ;;
    esac
    ;;
  *) uri=models:/$name/$which ;;
esac
"$PYTHON" "$TOOLS/served.py" "$uri"
[[ -z $check ]] || exit 0
# Its server is found by its name.
[[ $PYTHON != */* ]] || PATH=$(dirname -- "$PYTHON"):$PATH
say "serving $uri at http://$host:$port/invocations"
# The environment here is the one that the model is served in: nothing is installed for it.
exec "$PYTHON" -m mlflow models serve --model-uri "$uri" --host "$host" --port "$port" \
  --env-manager local
