"""The scripts and examples of mlflow/, called as a person calls them, on a real MLflow."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg2
import pytest
from sqlalchemy import make_url

from faultline.local import postgres
from faultline.local.stack import Stack

FOLDER = Path(__file__).parents[3] / "mlflow"
BIN = str(Path(sys.executable).parent)
PATIENCE_S = 300.0
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACT_ROOT")

Done = subprocess.CompletedProcess[str]


class Platform:
    """A platform and the environment by which scripts find it."""

    def __init__(self, found_by: Mapping[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
        self.environment = {
            **clean,
            "PYTHON": sys.executable,
            "MLFLOW_PLATFORM": "local",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **found_by,
        }

    def run(self, *command: str | Path, **more: str) -> Done:
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            [str(part) for part in command],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def script(self, name: str, *arguments: str | Path, **more: str) -> Done:
        """Run one of the scripts."""
        return self.run(FOLDER / "scripts" / f"{name}.sh", *arguments, **more)

    def example(self, name: str, **more: str) -> str:
        """Run one of the examples, which has to succeed; return what it prints."""
        done = self.run(sys.executable, FOLDER / "examples" / f"{name}.py", **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def local(platform_stack: Stack) -> Platform:
    """The module's stack, found by its home."""
    return Platform({"FAULTLINE_HOME": str(platform_stack.home.path)})


@pytest.fixture(scope="module")
def uri(platform_stack: Stack) -> str:
    """Address of its MLflow."""
    return platform_stack.endpoints.mlflow


def empty(stack: Stack, folder: Path, kind: str) -> Platform:
    """Make a place for another platform: a database without tables, and no artifacts."""
    backend = f"sqlite:///{folder / 'mlflow.db'}"
    if kind == "postgresql":
        database = f"mlflow_{uuid4().hex}"
        url = make_url(stack.endpoints.database_url)
        backend = url.set(database=database).render_as_string(hide_password=False)
        with closing(
            psycopg2.connect(
                host=url.host,
                port=url.port,
                user=url.username,
                password=url.password,
                dbname="postgres",
            )
        ) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{database}"')
    return Platform(
        {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            "MLFLOW_BACKEND_STORE_URI": backend,
            "MLFLOW_ARTIFACT_ROOT": str(folder / "artifacts"),
            "MLFLOW_PG_BIN": str(postgres.binary("pg_dump").parent),
        }
    )


@contextmanager
def serving(place: Platform, log: Path) -> Iterator[str]:
    """Run MLflow's server on such a place."""
    address = place.environment["MLFLOW_TRACKING_URI"]
    root = place.environment["MLFLOW_ARTIFACT_ROOT"]
    port = address.rsplit(":", 1)[1]
    server = [sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1"]
    with running(
        [*server, "--artifacts-destination", root],
        {**place.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        log,
    ) as process:
        wait_for(f"{address}/health", process, log)
        yield address


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command and what it starts; all of it is ended."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            # A group of its own: the servers are children of the commands.
            os.killpg(process.pid, 9)
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until an address answers."""
    deadline_s = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        try:
            if httpx.get(url, trust_env=False, timeout=10).is_success:
                return
        except httpx.TransportError:
            pause.wait(0.1)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def require(program: str) -> str:
    """Path of a program, beside Python or on the search path; skips where it is not installed."""
    path = shutil.which(program, path=os.pathsep.join([BIN, os.environ["PATH"]]))
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
