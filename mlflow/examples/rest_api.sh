#!/usr/bin/env bash
# The same over plain HTTP: an experiment, a run, a search, a model, a version, an alias.
#   MLFLOW_TRACKING_URI=http://localhost:5001 ./rest_api.sh
set -euo pipefail

server=${MLFLOW_TRACKING_URI:-http://localhost:5001}
name=${EXAMPLE_EXPERIMENT:-examples-rest-$(date +%s)}
# With accounts: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
account=()
[[ -z ${MLFLOW_TRACKING_USERNAME:-} ]] ||
  account=(--user "$MLFLOW_TRACKING_USERNAME:$MLFLOW_TRACKING_PASSWORD")

# call METHOD PATH JSON
call() {
  local answer
  answer=$(curl --fail-with-body --silent --show-error ${account[@]+"${account[@]}"} \
    --request "$1" --header 'Content-Type: application/json' --data "$3" \
    "$server/api/2.0/mlflow/$2") || {
    echo "$1 $2: $answer" >&2
    return 1
  }
  echo "$answer"
}
# field NAME: the first value of that name in the JSON on standard input.
field() { tr -d '\n' | sed -E "s/.*\"$1\": *\"([^\"]*)\".*/\1/"; }

echo "health: $(curl --fail --silent "$server/health"), version $(curl --fail --silent "$server/version")"

experiment=$(call POST experiments/create "{\"name\": \"$name\"}" | field experiment_id)
echo "experiment $experiment"

now=$(date +%s)000
run=$(call POST runs/create "{\"experiment_id\": \"$experiment\", \"run_name\": \"by curl\",
  \"start_time\": $now}" | field run_id)
call POST runs/log-parameter "{\"run_id\": \"$run\", \"key\": \"k\", \"value\": \"3\"}" >/dev/null
call POST runs/log-metric "{\"run_id\": \"$run\", \"key\": \"silhouette\", \"value\": 0.61,
  \"timestamp\": $now}" >/dev/null
call POST runs/set-tag "{\"run_id\": \"$run\", \"key\": \"use_case\", \"value\": \"example\"}" >/dev/null
call POST runs/update "{\"run_id\": \"$run\", \"status\": \"FINISHED\", \"end_time\": $now}" >/dev/null
echo "run $run"

echo "found: $(call POST runs/search "{\"experiment_ids\": [\"$experiment\"],
  \"filter\": \"metrics.silhouette > 0.5\", \"order_by\": [\"metrics.silhouette DESC\"]}" | field run_id)"

# An artifact, through the server.
echo "made by curl" | curl --fail --silent ${account[@]+"${account[@]}"} --upload-file - \
  "$server/api/2.0/mlflow-artifacts/artifacts/$experiment/$run/artifacts/model/note.txt" >/dev/null
echo "artifacts: $(call GET "artifacts/list?run_id=$run&path=model" '{}' | field path)"

call POST registered-models/create "{\"name\": \"$name\"}" >/dev/null
version=$(call POST model-versions/create "{\"name\": \"$name\", \"run_id\": \"$run\",
  \"source\": \"mlflow-artifacts:/$experiment/$run/artifacts/model\"}" | field version)
call POST registered-models/alias "{\"name\": \"$name\", \"alias\": \"production\",
  \"version\": \"$version\"}" >/dev/null
call POST model-versions/transition-stage "{\"name\": \"$name\", \"version\": \"$version\",
  \"stage\": \"Production\", \"archive_existing_versions\": true}" >/dev/null
echo "model $name version $version is $(call GET \
  "registered-models/alias?name=$name&alias=production" '{}' | field current_stage)"
