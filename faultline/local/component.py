"""One part of a stack as the stack sees it: what it needs, how it runs, when it is healthy."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from faultline.local.supervision import Program


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the stack: a supervised program, a command that runs once, or a server elsewhere.

    Attributes
    ----------
    needs
        Components that must be healthy before this one is started.
    address
        URL or `HOST:PORT` to show; empty for a command that runs once.
    ready
        Tells whether it does its work now. Never raises for "not yet".
    program
        What the supervisor runs, if it does.
    once
        The command that runs once, if it is that.
    prepare
        Runs right before the program is started; what it needs on disk.
    start_timeout_s
        Seconds after which a component that is not healthy has failed.
    """

    name: str
    needs: tuple[str, ...]
    address: str
    ready: Callable[[], bool]
    program: Program | None = None
    once: Sequence[str] | None = None
    prepare: Callable[[], None] | None = None
    start_timeout_s: float = 60.0

    @property
    def is_external(self) -> bool:
        """Tell whether it is a server that this stack only uses."""
        return self.program is None and self.once is None


def answers_http(url: str, timeout_s: float = 2.0) -> bool:
    """Tell whether `GET url` is answered with 200. Proxies are not asked: the host is this one."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts_tcp(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False
