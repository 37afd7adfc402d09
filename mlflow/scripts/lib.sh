# What the scripts share: where the platform is, and how to reach it there. Sourced, never run.
# shellcheck shell=bash

SCRIPTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
TOOLS=$(dirname -- "$SCRIPTS")/tools
SELF=$(basename -- "$0" .sh)

say() { echo "$SELF: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# usage "ARGUMENTS" "what it does" [more lines]: prints the help and ends.
usage() {
  echo "Usage: $SELF.sh $1"
  shift
  printf '%s\n' "$@" "" \
    "  --docker   the platform of docker-compose.yml (COMPOSE_FILE names another)" \
    "  --local    the stack that \`faultline up\` started, or what MLFLOW_TRACKING_URI," \
    "             MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACT_ROOT name" \
    "Without either, MLFLOW_PLATFORM decides (docker or local), else whether Docker answers."
  exit 0
}

# Sorts the arguments: PLATFORM is docker, local or direct (inside the container); ARGS the others.
# HELP is called when help is asked for.
arguments() {
  PLATFORM=${MLFLOW_PLATFORM:-}
  ARGS=()
  local argument
  for argument in "$@"; do
    case $argument in
      --docker) PLATFORM=docker ;;
      --local) PLATFORM=local ;;
      -h | --help) help ;;
      *) ARGS+=("$argument") ;;
    esac
  done
  if [[ -z $PLATFORM ]]; then
    if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
      PLATFORM=docker
    else
      PLATFORM=local
    fi
    say "using $PLATFORM (--docker or --local says so)"
  fi
  case $PLATFORM in
    docker)
      export COMPOSE_FILE=${COMPOSE_FILE:-$(dirname -- "$SCRIPTS")/docker-compose.yml}
      ;;
    local | direct) find_python ;;
    *) die "MLFLOW_PLATFORM is '$PLATFORM': docker or local" ;;
  esac
}

find_python() {
  local beside
  beside=$(dirname -- "$(dirname -- "$SCRIPTS")")/.venv/bin/python
  if [[ -z ${PYTHON:-} ]]; then
    if [[ -x $beside ]]; then PYTHON=$beside; else PYTHON=python3; fi
  fi
  command -v "$PYTHON" >/dev/null || die "$PYTHON is not there: set PYTHON"
}

# Puts the platform's addresses into the environment, unless the environment gives them.
find_platform() {
  if [[ $PLATFORM == direct ]]; then
    export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-http://localhost:5000}
    # The account that the server was started with, if there is one.
    if [[ -n ${MLFLOW_AUTH_ADMIN_PASSWORD:-} && -z ${MLFLOW_TRACKING_USERNAME:-} ]]; then
      export MLFLOW_TRACKING_USERNAME=${MLFLOW_AUTH_ADMIN_USERNAME:-admin}
      export MLFLOW_TRACKING_PASSWORD=$MLFLOW_AUTH_ADMIN_PASSWORD
    fi
  # Either all from the environment or all from the stack: never one's server with another's files.
  elif [[ -z ${MLFLOW_BACKEND_STORE_URI:-} || -z ${MLFLOW_ARTIFACT_ROOT:-} ]]; then
    local found
    found=$("$PYTHON" "$TOOLS/local_stack.py") || return 1
    set -a
    eval "$found"
    set +a
  else
    export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-http://localhost:5000}
  fi
}

# Runs one of the tools where the platform is.
tool() {
  local name=$1
  shift
  find_platform
  "$PYTHON" "$TOOLS/$name.py" "$@"
}

# Runs this same script inside the container of the server, which has to run.
in_server() {
  docker compose exec -T mlflow /opt/platform/entrypoint.sh "$SELF" "$@"
}

# The same in a container of its own, for what must be done while the server is down.
beside_server() {
  docker compose run --rm --no-deps -T mlflow "$SELF" "$@"
}

# Ends unless the compose file is the platform's own, with overrides perhaps: what starts or stops a
# whole project, or needs the service `serving`, must not meet the other services of a larger one.
require_own() {
  [[ ${COMPOSE_FILE%%:*} -ef "$(dirname -- "$SCRIPTS")/docker-compose.yml" ]] ||
    die "COMPOSE_FILE is $COMPOSE_FILE, and this script works on the platform's own only: $1"
}

# Whether the database is the compose file's PostgreSQL: not on SQLite, or with a server elsewhere.
wants_postgres() {
  local backend
  docker compose config --services | grep -x postgres >/dev/null || return 1
  backend=$(docker compose config --format json |
    tr -d ' \n' | grep -o '"MLFLOW_BACKEND_STORE_URI":"[^"]*"' | head -n 1 | cut -d '"' -f 4 || true)
  [[ -z $backend || $backend == *@postgres:* ]]
}

server_runs() {
  [[ -n $(docker compose ps --quiet --status running mlflow 2>/dev/null) ]]
}

# Writes a .env with made-up passwords beside the compose file, where none are given.
make_env() {
  local file
  file=$(dirname -- "$SCRIPTS")/.env
  [[ $COMPOSE_FILE == "$(dirname -- "$file")/docker-compose.yml" ]] || return 0
  [[ ! -e $file && -z ${POSTGRES_PASSWORD:-} ]] || return 0
  (
    umask 077
    printf '%s\n' "# Made by start.sh. README.md explains these variables and the others." \
      "POSTGRES_PASSWORD=$(random)" \
      "MLFLOW_FLASK_SERVER_SECRET_KEY=$(random)" \
      "MLFLOW_AUTH_ADMIN_PASSWORD=$(random)" >"$file"
  )
  say "wrote $file with new passwords"
}

# Keeps what the platform is started with in .env, so that no later script makes another one of it.
# Not for a project or an environment file that somebody has named: .env is not theirs.
keep_given() {
  local file name
  file=$(dirname -- "$SCRIPTS")/.env
  [[ -e $file && -z ${COMPOSE_PROJECT_NAME:-}${COMPOSE_ENV_FILES:-} ]] || return 0
  for name in MLFLOW_PORT SERVE_PORT BIND_ADDRESS MLFLOW_TAG MLFLOW_AUTH \
    MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACT_ROOT MLFLOW_SERVER_ALLOWED_HOSTS; do
    [[ -n ${!name:-} ]] || continue
    [[ ${!name} != *\'* ]] || die "$name has an apostrophe: write it into $file by hand"
    grep -qxF -e "$name='${!name}'" -e "$name=${!name}" "$file" && continue
    sed -i.former "/^$name=/d" "$file"
    rm -f -- "$file.former"
    printf "%s='%s'\n" "$name" "${!name}" >>"$file"
    say "kept $name in $file"
  done
}

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
