"""What the scripts of `mlflow/` refuse, and what they keep, with a Docker that only takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# `ps` answers that the server runs; `exec`, by which the platform is asked, refuses.
_DOCKER = """#!/bin/sh
echo "$*" >>"$NOTES"
case "$*" in
  *" ps "*) echo 1 ;;
  *" exec "*) exit 1 ;;
esac
"""


class Place:
    """A copy of the folder, with a Docker of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mlflow"
        self.notes = folder / "notes"
        self.notes.touch()
        shutil.copytree(REPOSITORY / "mlflow" / "scripts", self.folder / "scripts")
        shutil.copy(REPOSITORY / "mlflow" / "docker-compose.yml", self.folder)
        (folder / "bin").mkdir()
        docker = folder / "bin" / "docker"
        docker.write_text(_DOCKER)
        docker.chmod(0o755)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "COMPOSE_"))}
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**clean, "PATH": path, "NOTES": str(self.notes)}

    def script(
        self, name: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "scripts" / f"{name}.sh", "--docker", *arguments],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("script", "instead"),
    [
        (("stop",), "docker compose stop mlflow"),
        (("start",), "docker compose up --build --wait mlflow"),
        (("serve-model", "faultline-pump", "production"), "--local"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_what_acts_on_a_project_leaves_the_whole_of_faultline_alone(
    place: Place, script: tuple[str, ...], instead: str
) -> None:
    done = place.script(*script, COMPOSE_FILE=str(REPOSITORY / "docker-compose.yml"))
    assert done.returncode == 1
    assert instead in done.stderr
    assert place.notes.read_text() == ""


def test_an_override_beside_the_own_compose_file_is_welcome(place: Place) -> None:
    both = f"{place.folder / 'docker-compose.yml'}:more.yml"
    assert place.script("stop", COMPOSE_FILE=both).returncode == 0
    assert "down" in place.notes.read_text()


def test_start_keeps_the_port_that_it_is_given(place: Place) -> None:
    assert place.script("start", MLFLOW_PORT="5999").returncode == 0
    assert place.script("start", MLFLOW_PORT="6001").returncode == 0
    kept = (place.folder / ".env").read_text()
    assert kept.count("MLFLOW_PORT=") == 1
    assert "MLFLOW_PORT='6001'" in kept
    assert kept.count("POSTGRES_PASSWORD=") == 1
    place.script("start", MLFLOW_PORT="7001", COMPOSE_PROJECT_NAME="another")
    assert (place.folder / ".env").read_text() == kept


def test_no_server_is_stopped_for_a_restoration_that_is_refused(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "kept.tar.gz").touch()
    assert place.script("restore", str(tmp_path / "kept.tar.gz")).returncode == 1
    notes = place.notes.read_text()
    assert "restore --check" in notes
    assert " stop " not in notes


def test_no_model_server_is_made_for_a_model_that_is_not_there(place: Place) -> None:
    assert place.script("serve-model", "nosuch", "production").returncode == 1
    notes = place.notes.read_text()
    assert "serve-model --check nosuch production" in notes
    assert " up " not in notes
