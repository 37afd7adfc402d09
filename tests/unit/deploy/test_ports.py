"""A port of this host that is taken is told with the variable that sets it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
COMPOSE = 'ports:\n  - "${BIND_ADDRESS:-127.0.0.1}:${WEB_PORT:-8000}:80"\n'


@pytest.fixture
def port() -> Iterator[int]:
    """One that another program has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class Project:
    """A folder with a compose file, and a `docker` that says what compose would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docker-compose.yml").write_text(COMPOSE)

    def look(self, port: int, own: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """What the script says of a service on this port, while the project has another."""
        published = {"host_ip": "127.0.0.1", "published": str(port), "target": 80}
        ports = [published, {"published": "7000-7009", "target": 81}, {"target": 82}]
        self._answers("config", {"services": {"web": {"ports": ports}, "worker": {}}})
        self._answers("ps", {"Publishers": [{"PublishedPort": own}]})
        program = self.folder / "docker"
        program.write_text(f'#!/bin/sh\ncat "{self.folder}/$2.json"\n')
        program.chmod(0o755)
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", **more}
        return subprocess.run(
            [sys.executable, str(ROOT / "deploy/scripts/ports.py")],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _answers(self, command: str, answer: Any) -> None:
        (self.folder / f"{command}.json").write_text(f"{json.dumps(answer)}\n")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_taken_port_is_named_with_its_variable(project: Project, port: int) -> None:
    (project.folder / ".env").write_text(f"WEB_PORT='{port}'\n")
    told = project.look(port)
    assert told.returncode == 1
    assert told.stderr == (
        f"port {port} of 127.0.0.1 is taken by another program: end it, or set WEB_PORT in .env "
        "to a port that is free\n"
    )


def test_the_environment_counts_more_than_the_file(project: Project, port: int) -> None:
    (project.folder / ".env").write_text("WEB_PORT=9\n")
    assert "set WEB_PORT" in project.look(port, WEB_PORT=str(port)).stderr


def test_a_default_has_its_variable_too(project: Project, port: int) -> None:
    (project.folder / "docker-compose.yml").write_text(COMPOSE.replace("8000", str(port)))
    assert "set WEB_PORT" in project.look(port).stderr


def test_a_port_of_the_projects_own_containers_is_not_anothers(project: Project, port: int) -> None:
    told = project.look(port, own=port)
    assert (told.returncode, told.stderr) == (0, "")


def test_ports_of_another_host_are_not_looked_at(project: Project, port: int) -> None:
    assert project.look(port, DOCKER_HOST="tcp://elsewhere:2375").returncode == 0


def test_a_free_port_is_no_complaint(project: Project, port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    told = project.look(number)
    assert (told.returncode, told.stderr) == (0, "")


def test_before_anything_is_built_or_started_the_ports_are_looked_at() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "compose-up"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first, *_ = told.splitlines()
    assert first.endswith("deploy/scripts/ports.py")
