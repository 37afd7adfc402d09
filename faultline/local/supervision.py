"""Runs the programs of a stack under supervisord.

Knows programs, not what they are for. Why supervisord: `docs/adr/`.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from faultline.errors import FaultlineError, Unavailable
from faultline.local import journal
from faultline.local.home import Home
from faultline.local.membership import MARK, wait_gone

# A program that ends sooner has failed to start: supervisord then waits a little longer each time.
_START_S = 10
# With that growing wait, an hour and a half of attempts.
_START_RETRIES = 100
_LOG_BYTES = 10 * 1024 * 1024
_LOG_FILES = 3
_OPEN_FILES = 8192
_ENDED = {"stopped", "exited", "fatal", "unknown"}
_POLL_S = 0.1


class SupervisorFailed(FaultlineError):
    """supervisord did not start, or refuses what it was asked."""


@dataclass(frozen=True, slots=True)
class Program:
    """A long-running command.

    Attributes
    ----------
    stop_signal
        What asks it to end in good order, and with it its whole process group.
    stop_wait_s
        Seconds after which it is killed instead.
    user
        Account to run as; None for the caller's.
    """

    name: str
    command: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_wait_s: int = 15
    user: str | None = None


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisord says of a program; `state` is its own word in lower case, like `backoff`."""

    state: str
    pid: int | None
    uptime_s: float


class Supervisor:
    """The supervisord of one home; there is at most one.

    Parameters
    ----------
    home
        Where its configuration, log and socket are.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    @property
    def log(self) -> Path:
        """Its own log, which `faultline.local.journal` reads."""
        return self._home.logs / "supervisord.log"

    def launch(self, programs: Sequence[Program], environment: Mapping[str, str]) -> int:
        """Start supervisord with these programs, none of them running yet.

        The environment reaches the programs by inheritance, so no password stands in a file or
        on a command line.

        Returns
        -------
        int
            Its process id. It is a daemon: it outlives the caller.

        Raises
        ------
        SupervisorFailed
            With what it wrote.
        """
        config = self._home.config / "supervisord.conf"
        config.write_text(render(self._home, programs), "utf-8")
        if self.log.exists():
            self.log.replace(self.log.with_name("supervisord.previous.log"))
        self._home.socket.unlink(missing_ok=True)
        result = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            env={**environment, MARK: str(self._home.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._home.path,
        )
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip()
            raise SupervisorFailed(f"supervisord did not start ({config}): {said}")
        return cast("int", self._call("getPID"))

    def answers(self) -> bool:
        """Tell whether supervisord is there and listens."""
        try:
            self._call("getPID")
        except Unavailable:
            return False
        return True

    def start(self, name: str) -> None:
        """Start a program; it may take its time to be of use. A running one is left alone."""
        with suppress(_AlreadyThere):
            self._call("startProcess", name, False)

    def stop(self, names: Sequence[str]) -> None:
        """Stop programs at the same time and wait until all have ended. Ended ones are ignored."""
        for name in names:
            with suppress(_AlreadyThere):
                self._call("stopProcess", name, False)
        # supervisord itself kills what does not end in its time, so this ends.
        while any(self.states()[name].state not in _ENDED for name in names):
            time.sleep(_POLL_S)

    def shutdown(self, deadline_s: float = 20.0) -> None:
        """End supervisord itself and wait for it."""
        pid = self._call("getPID")
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(cast("int", pid))
            self._call("shutdown")
            wait_gone([process], deadline_s)

    def states(self) -> dict[str, ProgramState]:
        """State of every program by name."""
        return {
            info["name"]: ProgramState(
                state=info["statename"].lower(),
                pid=info["pid"] or None,
                uptime_s=float(max(0, info["now"] - info["start"])) if info["pid"] else 0.0,
            )
            for info in cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        }

    def events(self) -> list[journal.Event]:
        """What happened since supervisord was launched (or since its log was last rotated)."""
        return journal.read(self.log)

    def _call(self, method: str, *arguments: object) -> object:
        transport = SupervisorTransport(None, None, f"unix://{self._home.socket}")
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport) as proxy:
                return cast("object", getattr(proxy.supervisor, method)(*arguments))
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in (Faults.ALREADY_STARTED, Faults.NOT_RUNNING):
                raise _AlreadyThere(fault.faultString) from fault
            raise SupervisorFailed(
                f"supervisord of {self._home.path} refused {method} {arguments}: "
                f"{fault.faultString}; its log is {self.log}"
            ) from fault
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise Unavailable(f"no supervisord answers at {self._home.socket}: {error}") from error


class _AlreadyThere(FaultlineError):
    """The program is in the state that was asked for."""


def render(home: Home, programs: Sequence[Program]) -> str:
    """Write supervisord's configuration.

    Everything that a program is told beyond its command comes by inheritance of the environment.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    sections = [
        _section(
            "supervisord",
            {
                "logfile": home.logs / "supervisord.log",
                "logfile_maxbytes": _LOG_BYTES,
                "logfile_backups": 1,
                "pidfile": home.run / "supervisord.pid",
                "directory": home.path,
                "umask": "022",
                "minfds": open_files,
                # Running as root is right in a container, and said once is enough.
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
        ),
        _section("unix_http_server", {"file": home.socket, "chmod": "0700"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": ("supervisor.rpcinterface:make_main_rpcinterface")},
        ),
    ]
    sections += [_section(f"program:{p.name}", _program(home, p)) for p in programs]
    return "\n".join(sections)


def _program(home: Home, program: Program) -> dict[str, object]:
    return {
        "command": shlex.join(program.command),
        "directory": home.path,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": _START_S,
        "startretries": _START_RETRIES,
        "stopsignal": program.stop_signal.name.removeprefix("SIG"),
        "stopwaitsecs": program.stop_wait_s,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": home.log_file(program.name),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": _LOG_FILES,
        **({"user": program.user} if program.user else {}),
    }


def _section(name: str, options: Mapping[str, object]) -> str:
    # A percent sign begins an expansion in supervisord's files.
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])
