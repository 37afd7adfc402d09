"""What can be told of the compose file and of `make env` without an engine."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"


def _write(target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "deploy/write_env.py", str(EXAMPLE), str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _passwords(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+_(?:PASSWORD|KEY))=(.*)$", text, re.MULTILINE))


def test_env_has_a_password_of_its_own_in_every_place_and_only_its_owner_may_read_it(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert (_write(first).returncode, _write(second).returncode) == (0, 0)
    found = [*_passwords(first.read_text()).values(), *_passwords(second.read_text()).values()]
    assert len(found) == 2 * len(_passwords(EXAMPLE.read_text())) > 0
    assert len(set(found)) == len(found)
    assert all(len(password) >= 32 for password in found)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_the_example_has_no_passwords() -> None:
    assert set(_passwords(EXAMPLE.read_text()).values()) == {""}


def test_every_variable_of_the_compose_file_is_explained() -> None:
    root = (ROOT / "docker-compose.yml").read_text()
    included = (ROOT / each["path"] for each in yaml.safe_load(root)["include"])
    text = "\n".join([root, *(file.read_text() for file in included)])
    # In a value, or passed on where it is set.
    used = {*re.findall(r"\$\{(\w+)", text), *re.findall(r"^ +([A-Z0-9_]+):$", text, re.MULTILINE)}
    explained = set(re.findall(r"^#?(\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert used == explained


def test_the_number_of_predictors_is_a_variable() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["predictor"]["deploy"]["replicas"] == "${PREDICTOR_REPLICAS:-1}"


def _services() -> dict[str, dict[str, Any]]:
    """Of every compose file, by the file's path and the service's name."""
    files = (
        "docker-compose.yml",
        "airflow/docker-compose.yml",
        "deploy/monitoring/docker-compose.yml",
        "mlflow/docker-compose.yml",
    )
    return {
        f"{file}: {name}": service
        for file in files
        for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items()
    }


def test_every_service_has_limits_of_processor_memory_and_processes() -> None:
    for name, service in _services().items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name


def test_no_service_asks_for_more_than_two_cores_which_docker_would_refuse() -> None:
    for name, service in _services().items():
        cpus = service["deploy"]["resources"]["limits"]["cpus"]
        default = re.fullmatch(r"\$\{\w+_CPUS:-(.+)\}", cpus)
        assert 0 < float(default[1] if default else cpus) <= 2, name


def test_images_builds_those_of_the_profiles_too() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "images"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.endswith(" docker compose --profile '*' build\n")


def test_compose_down_ends_the_services_of_every_profile() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "compose-down"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told == "docker compose --profile '*' down\n"


def test_the_folder_of_the_certificate_is_there_so_that_its_container_can_say_what_it_lacks() -> (
    None
):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    sources = [each["source"] for each in services["tls"]["volumes"] if isinstance(each, dict)]
    assert sources == ["${TLS_FOLDER:-./tls}"]
    assert (ROOT / "tls/.gitignore").read_text().splitlines()[1:] == ["*", "!.gitignore"]


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command here")
def test_without_passwords_compose_says_how_to_make_them() -> None:
    done = subprocess.run(
        ["docker", "compose", "--env-file", str(EXAMPLE), "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "run `make env`" in done.stderr
