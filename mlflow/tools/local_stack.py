"""Prints, for a shell to read, where the stack of `faultline up` keeps its platform."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from place import fail

try:
    from faultline.errors import FaultlineError
    from faultline.local import postgres, tracking
    from faultline.local.home import Home, load_endpoints
except ImportError:
    fail(
        "faultline is not installed here, so there is no local stack: set MLFLOW_TRACKING_URI, "
        "MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACT_ROOT, or use --docker"
    )


def main() -> None:
    """Print one assignment per line."""
    home = Home.at()
    try:
        endpoints = load_endpoints(home.path, needs=("mlflow",), environ={})
        stack = home.read_stack()
    except FaultlineError as error:
        fail(str(error))
    if stack is None:
        fail(f"no stack runs in {home.path}: start one with start.sh --local")
    if stack.external.mlflow:
        fail(
            f"the stack in {home.path} uses the server {stack.external.mlflow}: "
            "call this script beside that one"
        )
    asked = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if asked and asked != endpoints.mlflow:
        fail(
            f"MLFLOW_TRACKING_URI is {asked}, and the stack's server is {endpoints.mlflow}: unset "
            "it, or set MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACT_ROOT too"
        )
    embedded = stack.external.postgres is None
    found = {
        "MLFLOW_TRACKING_URI": endpoints.mlflow,
        "MLFLOW_BACKEND_STORE_URI": postgres.url(home, stack.ports["postgres"], "mlflow")
        if embedded
        else tracking.sqlite_backend(home),
        "MLFLOW_ARTIFACT_ROOT": str(home.data / "mlflow" / "artifacts"),
    }
    if embedded:
        found["MLFLOW_PG_BIN"] = str(Path(postgres.binary("pg_dump")).parent)
    for name, value in found.items():
        print(f"{name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
