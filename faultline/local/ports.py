"""The TCP ports of one stack, and who holds one that is taken. Knows nothing of what listens."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import psutil

from faultline.errors import FaultlineError

HOST = "127.0.0.1"

# Below 32768, where Linux begins to hand out ports to outgoing connections.
_FREE_RANGE = range(20_000, 32_000)


class PortsBusy(FaultlineError):
    """A port that the stack needs is taken, or is not a port at all."""


class BusyPort(NamedTuple):
    """A taken port, by the name of the component that wants it; `holder` is '' when unknown."""

    component: str
    port: int
    holder: str


@dataclass(frozen=True, slots=True)
class Ports:
    """One port per component, all on 127.0.0.1. The field order is that of `--port-base`."""

    predictor: int = 8000
    gateway: int = 8001
    trainer: int = 8002
    recorder: int = 8003
    mlflow: int = 5001
    kafka: int = 9092
    kafka_controller: int = 9093
    postgres: int = 15432

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Eight ports in a row, so that several stacks can stand side by side.

        Parameters
        ----------
        base
            The predictor's port; the others follow in the order of the fields.

        Raises
        ------
        PortsBusy
            When the row does not fit between 1024 and 65535.
        """
        names = [field.name for field in fields(cls)]
        last = base + len(names) - 1
        if base < 1024 or last > 65535:
            raise PortsBusy(
                f"--port-base {base} needs the ports {base} to {last}; choose a base between "
                f"1024 and {65535 - len(names) + 1}"
            )
        return cls(**{name: base + index for index, name in enumerate(names)})

    @classmethod
    def free(cls) -> Ports:
        """Ports that are free at this moment, spread at random, for tests and demos.

        Raises
        ------
        PortsBusy
            When fewer than needed are free.
        """
        names = [field.name for field in fields(cls)]
        # Spreading processes that ask at the same time, not keeping a secret.
        candidates = random.sample(_FREE_RANGE, len(_FREE_RANGE))
        free = _first_free(candidates, len(names))
        if len(free) < len(names):
            raise PortsBusy(
                f"fewer than {len(names)} ports between {_FREE_RANGE.start} and "
                f"{_FREE_RANGE.stop} are free; stop something that listens there"
            )
        return cls(**dict(zip(names, free, strict=True)))

    def named(self) -> dict[str, int]:
        """Port by component name (`kafka_controller` is part of `kafka`)."""
        return asdict(self)


def _first_free(candidates: Iterable[int], count: int) -> list[int]:
    free: list[int] = []
    for port in candidates:
        if len(free) == count:
            break
        if is_free(port):
            free.append(port)
    return free


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last run that lingers in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def busy_ports(ports: dict[str, int]) -> list[BusyPort]:
    """Which of these ports are taken, and by what as far as this user may know."""
    return [
        BusyPort(component, port, _holder(port))
        for component, port in ports.items()
        if not is_free(port)
    ]


def require_free(ports: dict[str, int]) -> None:
    """Check all ports before anything is started.

    Raises
    ------
    PortsBusy
        Naming every taken port, what holds it if known, and what to set instead.
    """
    busy = busy_ports(ports)
    if not busy:
        return
    taken = "".join(
        f"\n  port {each.port} for {each.component} is taken"
        + (f" by {each.holder}" if each.holder else "")
        for each in busy
    )
    raise PortsBusy(
        f"not started, for ports that it needs are in use:{taken}\n"
        "Stop what holds them (another stack: faultline down --home HOME), or move the whole "
        "stack with --port-base PORT"
    )


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or tuple(connection.laddr)[1:] != (port,):
            continue
        if connection.pid is None:
            return ""
        try:
            process = psutil.Process(connection.pid)
            program, *arguments = process.cmdline() or [process.name()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return f"pid {connection.pid}"
        return f"pid {connection.pid} ({_short(' '.join([Path(program).name, *arguments]))})"
    return ""


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
