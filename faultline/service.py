"""Runs a service: its HTTP server beside its loops, until it is told to stop or a loop fails."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from faultline.errors import FaultlineError, Unavailable
from faultline.gathering import Gathering
from faultline.telemetry import logger

log = logger(__name__)
_JOIN_S = 30.0


class Loop(NamedTuple):
    """Work that goes on until told to stop.

    Attributes
    ----------
    run
        Called in a thread of its own. Returns soon after the event is set, having finished and
        committed what was under way. An exception ends the process with status 1, so that a
        supervisor starts it anew: going on after an unknown state would lose readings.
    """

    name: str
    run: Callable[[threading.Event], None]


def retrying(
    step: Callable[[], None], stop: threading.Event, name: str, wait_s: float = 1.0
) -> bool:
    """Do a step until it works, waiting while a dependency is down.

    Returns
    -------
    bool
        False when told to stop before it worked.

    Raises
    ------
    FaultlineError
        When waiting cannot help.
    """
    while not stop.is_set():
        try:
            step()
        except FaultlineError as error:
            if not error.retriable:
                raise
            log.warning("waiting", step=name, why=str(error))
            stop.wait(wait_s)
        else:
            return True
    return False


def repeating(
    look: Callable[[], None], stop: threading.Event, every_s: float, trouble: str
) -> None:
    """Do something again and again until told to stop.

    A dependency that is down is waited for until the next time, and told once, as `trouble`.
    """
    in_trouble = False
    while not stop.is_set():
        try:
            look()
        except Unavailable as error:
            if not in_trouble:
                log.warning(f"{trouble}; waiting", why=str(error))
            in_trouble = True
        else:
            in_trouble = False
        stop.wait(every_s)


def serve(app: ASGIApp, host: str, port: int, loops: Sequence[Loop] = ()) -> int:
    """Serve until told to stop; returns the exit status of the process.

    The loops are stopped after the last HTTP request has been answered.
    """
    stop = threading.Event()
    failed = threading.Event()

    def guarded(loop: Loop) -> None:
        try:
            loop.run(stop)
        except Exception:
            # The whole process ends because of it: what it was doing is redone after the restart.
            log.exception("loop failed", loop=loop.name)
            failed.set()
            os.kill(os.getpid(), signal.SIGTERM)

    threads = [
        # With the context, the loop's log lines name the service too.
        threading.Thread(
            target=copy_context().run, args=(guarded, loop), name=loop.name, daemon=True
        )
        for loop in loops
    ]
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Gathering,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)

    def told_to_stop(*_: object) -> None:
        stop.set()
        server.should_exit = True

    # uvicorn has handlers of its own only while it serves. A signal before that must not be lost;
    # and uvicorn raises it once more when it has shut down, where the default would end the
    # process before the loops have finished.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_stop)
    for thread in threads:
        thread.start()
    try:
        server.run()
    finally:
        stop.set()
        for thread in threads:
            thread.join(_JOIN_S)
    late = [thread.name for thread in threads if thread.is_alive()]
    if late:
        log.error("loops did not stop in time", loops=late)
    return 1 if failed.is_set() or late or not server.started else 0
