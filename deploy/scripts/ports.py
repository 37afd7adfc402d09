"""Say which of the ports that `docker compose up` would take on this host another program has.

Usage: ``ports.py``, in the folder of docker-compose.yml. Docker's own message names no variable of
`.env`. Ports of the project's own containers are not another's.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_VARIABLE = re.compile(r"\$\{(\w+_PORT):-(\d+)\}")
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*[=:][ \t]*[\"']?(\d+)", re.MULTILINE)


class Address(NamedTuple):
    """Where a container's port is published."""

    host: str
    port: int


def wanted(config: Mapping[str, Any]) -> list[Address]:
    """What the services of `docker compose config` publish, a range of ports left out."""
    found = [
        Address(port.get("host_ip", "0.0.0.0"), int(port["published"]))  # noqa: S104 - as compose
        for service in config["services"].values()
        for port in service.get("ports", ())
        if str(port.get("published", "")).isdecimal()
    ]
    return sorted(set(found))


def own_ports(containers: Iterable[Mapping[str, Any]]) -> set[int]:
    """What the project's containers of `docker compose ps` have now."""
    return {port["PublishedPort"] for one in containers for port in one.get("Publishers") or ()}


def variables(compose: str, assigned: Mapping[str, int]) -> dict[int, str]:
    """By port, the variable of the compose files that it comes from."""
    return {assigned.get(name, int(default)): name for name, default in _VARIABLE.findall(compose)}


def assigned_in(text: str) -> dict[str, int]:
    """Variables of a `.env` whose value is a number."""
    return {name: int(value) for name, value in _ASSIGNED.findall(text)}


def is_taken(address: Address) -> bool:
    """Whether somebody listens there; not where that cannot be told."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def complaints(
    addresses: Iterable[Address],
    own: set[int],
    names: Mapping[int, str],
    taken: Callable[[Address], bool] = is_taken,
) -> list[str]:
    """A line for each port that is taken, with what to do."""
    return [
        f"port {address.port} of {address.host} is taken by another program: end it, or set "
        f"{names.get(address.port, 'its variable')} in .env to a port that is free"
        for address in addresses
        if address.port not in own and taken(address)
    ]


def _compose(*arguments: str) -> str:
    command = ["docker", "compose", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - ours


def main() -> int:
    """Look at every port; returns the exit status."""
    if not os.environ.get("DOCKER_HOST", "unix:").startswith(("unix:", "npipe:")):
        # The ports are another host's.
        return 0
    try:
        config = json.loads(_compose("config", "--format", "json"))
        containers = [json.loads(line) for line in _compose("ps", "--format", "json").splitlines()]
    except subprocess.CalledProcessError as error:
        # Docker has said what is wrong.
        return int(error.returncode)
    files = [Path("docker-compose.yml"), *Path().glob("*/docker-compose.yml")]
    files += Path().glob("deploy/*/docker-compose.yml")
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    env = Path(".env")
    assigned = assigned_in(env.read_text(encoding="utf-8") if env.exists() else "")
    assigned |= assigned_in("\n".join(f"{name}={value}" for name, value in os.environ.items()))
    told = complaints(wanted(config), own_ports(containers), variables(text, assigned))
    for line in told:
        sys.stderr.write(f"{line}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
