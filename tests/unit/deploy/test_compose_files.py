"""What the compose files ask for: a profile that is not used asks for nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
_REQUIRED = re.compile(r"\$\{(\w+):\?")


def _read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def _services() -> dict[str, Any]:
    """Of the main file and of those that it includes."""
    main = _read("docker-compose.yml")
    files = [main, *(_read(one["path"]) for one in main["include"])]
    return {name: service for file in files for name, service in file["services"].items()}


def test_a_profile_needs_no_variable_that_a_plain_start_does_not() -> None:
    needed: dict[bool, set[str]] = {True: set(), False: set()}
    for service in _services().values():
        needed["profiles" in service].update(_REQUIRED.findall(yaml.dump(service, width=10_000)))
    assert needed[False] >= {"POSTGRES_PASSWORD", "KAFKA_PASSWORD"}
    assert needed[True] - needed[False] == set()


def test_grafana_without_a_password_does_not_start_and_says_why() -> None:
    grafana = _services()["grafana"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:-}"
    command = [part.replace("$$", "$") for part in grafana["entrypoint"]]
    environment = {"PATH": "/usr/bin:/bin", "GF_SECURITY_ADMIN_PASSWORD": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "grafana: set GRAFANA_PASSWORD in .env\n"
