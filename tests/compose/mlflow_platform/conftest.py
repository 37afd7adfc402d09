"""The MLflow platform by itself in containers: its compose file, driven by its scripts."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

FOLDER = Path(__file__).parents[3] / "mlflow"
PROFILES = ("--profile", "serving", "--profile", "upgrade")
PATIENCE_S = 900


@pytest.fixture(scope="package", autouse=True)
def containers_can_be_started() -> None:
    """Skip where none can."""
    why = _engine_missing()
    if why:
        pytest.skip(why)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # Of building an image, when it is the first.
            item.add_marker(pytest.mark.timeout(2 * PATIENCE_S))


def _engine_missing() -> str:
    """Say why no container can be started; '' when one can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return f"`{' '.join(command)}` fails: no engine runs, or it lacks compose"
    return ""


class Platform:
    """A project of its own, with its own passwords, ports and volumes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port, serve_port = free_port(), free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.served = f"http://127.0.0.1:{serve_port}"
        nothing = folder / "empty.env"
        nothing.touch()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "COMPOSE_"))}
        self.environment = {
            **clean,
            "PYTHON": sys.executable,
            "COMPOSE_PROJECT_NAME": f"mlflow-test-{secrets.token_hex(4)}",
            "COMPOSE_FILE": str(FOLDER / "docker-compose.yml"),
            # Not what somebody keeps beside it.
            "COMPOSE_ENV_FILES": str(nothing),
            "POSTGRES_PASSWORD": secrets.token_hex(8) + "@:/%",
            "MLFLOW_PORT": str(self.port),
            "SERVE_PORT": str(serve_port),
            **settings,
        }

    def run(self, *command: str | Path, works: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if works and done.returncode != 0:
            pytest.fail(f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}")
        return done

    def script(
        self, name: str, *arguments: str | Path, works: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.run(FOLDER / "scripts" / f"{name}.sh", "--docker", *arguments, works=works)

    def compose(self, *arguments: str, works: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "compose", *arguments, works=works)

    def logs(self) -> str:
        done = subprocess.run(
            ["docker", "compose", *PROFILES, "logs", "--no-color", "--tail", "60"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def remove(self) -> None:
        self.compose(*PROFILES, "down", "--volumes", works=False)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def get(url: str, **more: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=30, **more)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    place = Platform(tmp_path_factory.mktemp("platform"))
    try:
        place.script("start")
        yield place
    finally:
        place.remove()
