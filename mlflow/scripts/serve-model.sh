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

port=${SERVE_PORT:-5002} host=127.0.0.1
positional=()
set -- ${ARGS[@]+"${ARGS[@]}"}
while [[ $# -gt 0 ]]; do
  case $1 in
    --port | --host)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      [[ $1 == --port ]] && port=$2 || host=$2
      shift
      ;;
    -*) die "unknown option $1 (--help shows them)" ;;
    *) positional+=("$1") ;;
  esac
  shift
done
[[ ${#positional[@]} -eq 2 ]] || die "needs NAME and VERSION_OR_ALIAS (--help says more)"
name=${positional[0]} which=${positional[1]}
[[ $port =~ ^[0-9]+$ ]] || die "port '$port' is no number"

if [[ $PLATFORM == docker ]]; then
  server_runs || die "the platform is down: start.sh first"
  MODEL_NAME=$name MODEL_VERSION=$which SERVE_PORT=$port BIND_ADDRESS=$host \
    docker compose --profile serving up --detach --build --wait --no-deps serving
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
# Its server is found by its name.
[[ $PYTHON != */* ]] || PATH=$(dirname -- "$PYTHON"):$PATH
say "serving $uri at http://$host:$port/invocations"
# The environment here is the one that the model is served in: nothing is installed for it.
exec "$PYTHON" -m mlflow models serve --model-uri "$uri" --host "$host" --port "$port" \
  --env-manager local
