#!/usr/bin/env bash
# Resolves the images' requirements anew, into the two locks beside them. Needs uv.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

compile() {
  uv pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes \
    --no-header --no-annotate --output-file "$@"
}

compile mlflow/requirements.lock mlflow/requirements.txt
# The same versions, and what the detector needs: a model is served as it was logged.
compile mlflow/requirements-serve.lock --constraint mlflow/requirements.lock \
  mlflow/requirements.txt pyproject.toml
