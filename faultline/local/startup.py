"""Starts components in order of need, several at a time, and waits until all are healthy."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from faultline.errors import FaultlineError
from faultline.local.component import Component
from faultline.local.home import Home
from faultline.local.membership import MARK
from faultline.local.supervision import Supervisor

_POLL_S = 0.1
_LOG_TAIL_LINES = 15
# A second end before it was ever healthy is no accident.
_DEATHS_TO_FAIL = 2


class StackFailed(FaultlineError):
    """A component did not become healthy; the text has the last lines of its log."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A component has taken a step.

    Attributes
    ----------
    state
        `starting`, then `healthy` (or `done`, for a command that runs once).
    took_s
        Seconds since it was started.
    """

    component: str
    state: Literal["starting", "healthy", "done"]
    address: str = ""
    took_s: float = 0.0


OnProgress = Callable[[Progress], None]


class Startup:
    """The start of a stack's components.

    Parameters
    ----------
    supervisor
        Runs the programs.
    environment
        Of the commands that run once; the programs have the supervisor's.
    """

    def __init__(self, home: Home, supervisor: Supervisor, environment: Mapping[str, str]) -> None:
        self._home = home
        self._supervisor = supervisor
        self._environment = environment

    def run(self, parts: Sequence[Component], on_progress: OnProgress) -> None:
        """Start each component as soon as what it needs is healthy, several at a time."""
        waiting = list(parts)
        starting: dict[str, _Start] = {}
        try:
            while waiting or starting:
                pending = {part.name for part in waiting} | set(starting)
                for part in [p for p in waiting if not pending.intersection(p.needs)]:
                    waiting.remove(part)
                    on_progress(Progress(component=part.name, state="starting"))
                    starting[part.name] = self._begin(part)
                for start in list(starting.values()):
                    if self._is_done(start):
                        del starting[start.part.name]
                        on_progress(start.progress())
                if starting:
                    time.sleep(_POLL_S)
        finally:
            for start in starting.values():
                start.abandon()

    def _begin(self, part: Component) -> _Start:
        started_s = time.monotonic()
        if part.prepare is not None:
            part.prepare()
        process = None
        if part.program is not None:
            self._supervisor.start(part.name)
        elif part.once is not None:
            with self._home.log_file(part.name).open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own command
                    part.once,
                    env={**self._environment, MARK: str(self._home.path)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._home.path,
                )
        # Preparing may have been a download of any length: it is not held against the program.
        deadline_s = time.monotonic() + part.start_timeout_s
        return _Start(part, started_s, deadline_s, process)

    def _is_done(self, start: _Start) -> bool:
        part = start.part
        if start.process is not None:
            code = start.process.poll()
            if code:
                raise StackFailed(self._failure(part.name, f"ended with status {code}"))
            if code == 0:
                return True
        elif part.ready():
            return True
        elif part.program is not None:
            self._require_alive(part.name)
        if time.monotonic() > start.deadline_s:
            raise StackFailed(
                self._failure(part.name, f"was not healthy after {part.start_timeout_s:g} s")
            )
        return False

    def _require_alive(self, name: str) -> None:
        """Fail early, rather than at the deadline, when a program dies again and again."""
        deaths = [e for e in self._supervisor.events() if e.component == name and e.kind == "died"]
        if len(deaths) >= _DEATHS_TO_FAIL:
            raise StackFailed(self._failure(name, f"does not stay up ({deaths[-1].how})"))
        if self._supervisor.states()[name].state == "fatal":
            raise StackFailed(self._failure(name, "could not be started"))

    def wait_healthy(self, part: Component, timeout_s: float) -> None:
        """Wait for one component that was started already; raises StackFailed as `run` does."""
        deadline_s = time.monotonic() + timeout_s
        while not part.ready():
            if time.monotonic() > deadline_s:
                raise StackFailed(
                    self._failure(part.name, f"was not healthy after {timeout_s:g} s")
                )
            time.sleep(_POLL_S)

    def _failure(self, name: str, what: str) -> str:
        log = self._home.log_file(name)
        try:
            lines = log.read_text("utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        tail = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        return f"{name} {what}. The last lines of {log}:\n{tail}"


class _Start:
    """A component that is being started."""

    def __init__(
        self,
        part: Component,
        since_s: float,
        deadline_s: float,
        process: subprocess.Popen[bytes] | None,
    ) -> None:
        self.part = part
        self.since_s = since_s
        self.deadline_s = deadline_s
        self.process = process

    def progress(self) -> Progress:
        return Progress(
            component=self.part.name,
            state="healthy" if self.part.once is None else "done",
            address=self.part.address,
            took_s=time.monotonic() - self.since_s,
        )

    def abandon(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
