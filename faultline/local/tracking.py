"""MLflow's tracking and registry server on this machine, with its artifacts under the home."""

from __future__ import annotations

import os
import sys

from faultline.local.component import Component, answers_http
from faultline.local.home import Home
from faultline.local.ports import HOST
from faultline.local.supervision import Program

# MLflow reads its backend from here, so that the password is on no command line.
BACKEND_VARIABLE = "MLFLOW_BACKEND_STORE_URI"


def sqlite_backend(home: Home) -> str:
    """Backend for a stack whose PostgreSQL is somebody else's.

    A database that we were given for Faultline is no place for the tables of another program.
    """
    return f"sqlite:///{home.data / 'mlflow' / 'mlflow.db'}"


def environment(backend: str) -> dict[str, str]:
    """What the server is told by environment."""
    return {
        BACKEND_VARIABLE: backend,
        # Evaluation jobs for language models: three more processes that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Nothing of a user's plant leaves it.
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def component(home: Home, port: int, needs: tuple[str, ...]) -> Component:
    """MLflow as a part of the stack."""
    address = f"http://{HOST}:{port}"
    return Component(
        name="mlflow",
        needs=needs,
        address=address,
        ready=lambda: answers_http(f"{address}/health"),
        program=Program(
            name="mlflow",
            command=[
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--host",
                HOST,
                "--port",
                str(port),
                "--workers",
                # A worker holds a third of a gigabyte and serves requests from threads.
                "2" if (os.cpu_count() or 1) > 4 else "1",
                "--serve-artifacts",
                "--artifacts-destination",
                (home.data / "mlflow" / "artifacts").as_uri(),
            ],
        ),
        prepare=lambda: (home.data / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True),
        start_timeout_s=180.0,
    )
