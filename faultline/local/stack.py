"""One machine's stack: starts its components in order of need, tells how they are, stops them all.

It knows components and the supervisor; what a component is made of is in the module of its name.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from faultline.errors import Conflict, NotFound, Unavailable
from faultline.local import external as given
from faultline.local import journal, membership, plan
from faultline.local.component import Component
from faultline.local.condition import ComponentStatus, condition
from faultline.local.home import Endpoints, External, Home, StackFile
from faultline.local.ports import Ports, require_free
from faultline.local.startup import OnProgress, Progress, StackFailed, Startup
from faultline.local.supervision import Supervisor

__all__ = ["ComponentStatus", "OnProgress", "Progress", "Stack", "StackFailed"]


class Stack:
    """A stack in one home.

    As a context manager it starts on entry and stops on exit, whatever happens in between.

    Parameters
    ----------
    home
        The folder that holds all of it.
    ports
        Where its components listen; the defaults when None.
    components
        Which of `faultline.local.plan.ALL`; all when None.
    external
        Servers to use instead of embedded ones.

    Raises
    ------
    Conflict, NotFound
        When an address, a name or the home is not usable.
    """

    def __init__(
        self,
        home: Path | Home,
        ports: Ports | None = None,
        components: Collection[str] | None = None,
        external: External | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home.at(home)
        self.ports = ports or Ports()
        self.external = given.normalized(external or External())
        self._names = plan.chosen(components)
        self._supervisor = Supervisor(self.home)

    @classmethod
    def attach(cls, home: Path | Home | None = None) -> Stack:
        """Return the stack that runs in a home, or was killed there.

        Raises
        ------
        NotFound
            When there is none.
        """
        place = home if isinstance(home, Home) else Home.at(home)
        kept = place.read_stack()
        if kept is None:
            raise NotFound(
                f"no stack runs in {place.path}. Start one with `faultline up`, or name another "
                "with --home or FAULTLINE_HOME"
            )
        return cls(place, Ports(**kept.ports), kept.components, kept.external)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of the components."""
        return plan.endpoints(self.home, self.ports, self.external)

    @property
    def environment(self) -> dict[str, str]:
        """Environment for a process that shall work with this stack as its services do."""
        return plan.environment(self.home, self.ports, self._names, self.external)

    def is_running(self) -> bool:
        """Tell whether the supervisor of this home is there (its components may still be ill)."""
        return self._supervisor.answers()

    def start(self, on_progress: OnProgress | None = None) -> None:
        """Start everything and return when all is healthy; or stop it again and raise.

        Raises
        ------
        Conflict
            When a stack runs in this home already.
        PortsBusy, Unavailable
            When a port is taken, a given server is silent, or something cannot be fetched.
        StackFailed
            When a component did not become healthy.
        """
        self.home.create()
        with self._alone():
            if self.is_running():
                raise Conflict(f"a stack runs in {self.home.path} already")
            # One whose supervisor was killed may have left processes that hold our ports.
            membership.end_members(self.home)
            parts = self._components()
            require_free(plan.ports_used(self.ports, parts))
            given.require_reachable({part.name: part for part in parts if part.is_external})
            try:
                self._launch(parts)
                self._startup().run(parts, on_progress or _silently)
            except BaseException:
                # A Ctrl-C as well: a stack is there wholly or not at all.
                self._stop_all()
                raise

    def stop(self) -> int:
        """Stop everything, in reverse order of need. Does nothing when nothing runs.

        Returns
        -------
        int
            How many processes it found without a supervisor; 0 in an orderly stop.
        """
        if not self.home.path.is_dir():
            return 0
        self.home.create()
        with self._alone():
            return self._stop_all()

    def restart(self, name: str) -> None:
        """Stop one component, start it again, and return when it is healthy.

        Raises
        ------
        NotFound
            When the stack has no such program.
        StackFailed
            When it did not become healthy in time.
        """
        with self.without(name):
            pass

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Stop one component for a while; on exit it is started and waited for.

        Raises
        ------
        NotFound
            When the stack has no such program.
        StackFailed
            When it did not become healthy in time.
        """
        part = next((p for p in self._components() if p.name == name and p.program), None)
        if part is None:
            raise NotFound(f"this stack runs no program called {name!r}")
        self._supervisor.stop([name])
        try:
            yield
        finally:
            self._supervisor.start(name)
            self._startup().wait_healthy(part, part.start_timeout_s)

    def status(self) -> list[ComponentStatus]:
        """How every component is, in order of need.

        Raises
        ------
        Unavailable
            When no supervisor is there to ask.
        """
        states = self._supervisor.states()
        restarts = journal.restarts(self._supervisor.events())
        return [
            condition(part, states.get(part.name), restarts[part.name])
            for part in self._components()
            if part.once is None
        ]

    def events(self) -> list[journal.Event]:
        """What happened to the programs since the start: started, died, stopped, gave up."""
        return self._supervisor.events()

    def _startup(self) -> Startup:
        return Startup(self.home, self._supervisor, self.environment)

    def _components(self) -> list[Component]:
        return plan.components(self.home, self.ports, self._names, self.external)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep two commands from starting or stopping the same home at the same time."""
        with (self.home.run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"another command is starting or stopping the stack in {self.home.path}; "
                    "try again when it has finished"
                ) from None
            yield

    def _launch(self, parts: Sequence[Component]) -> None:
        programs = [part.program for part in parts if part.program is not None]
        pid = self._supervisor.launch(programs, self.environment)
        self.home.write_stack(
            StackFile(
                supervisor_pid=pid,
                started_ms=time.time_ns() // 1_000_000,
                ports=self.ports.named(),
                components=list(self._names),
                external=self.external,
                endpoints=self.endpoints,
            )
        )

    def _stop_all(self) -> int:
        try:
            states = self._supervisor.states()
            for rank in reversed(_ranks(self._components())):
                self._supervisor.stop([name for name in rank if name in states])
            self._supervisor.shutdown()
        except Unavailable:
            # It was killed: what it had started is found below.
            pass
        left = membership.end_members(self.home)
        self.home.forget_stack()
        return left


def _silently(_: Progress) -> None:
    """Ignore progress."""


def _ranks(parts: Sequence[Component]) -> list[list[str]]:
    """Programs by depth of need: those of a rank don't need each other."""
    depth: dict[str, int] = {}
    ranks: list[list[str]] = []
    for part in parts:
        depth[part.name] = 1 + max((depth.get(need, -1) for need in part.needs), default=-1)
        while len(ranks) <= depth[part.name]:
            ranks.append([])
        if part.program is not None:
            ranks[depth[part.name]].append(part.name)
    return ranks
