"""Waits for work of MLflow's client so long and no longer.

The client gives up a server that says nothing, but not one that goes on saying little: only whoever
waits for it can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from time import monotonic
from typing import Any, TypeVar

from faultline.errors import Unavailable

_T = TypeVar("_T")
AT_ONCE = 8
# Whoever waits can be interrupted between two looks.
_LOOK_EVERY_S = 0.25


class Deadline:
    """Does work in a thread that is left behind when it takes too long. Safe to share.

    Parameters
    ----------
    seconds
        For one piece of work.
    at_once
        Pieces, with those that were left behind and have not ended: further ones are refused.
    """

    def __init__(self, seconds: float, at_once: int = AT_ONCE) -> None:
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(at_once)

    def run(self, what: str, work: Callable[[threading.Event], _T]) -> _T:
        """Return what the work returns, or raise what it raises.

        Parameters
        ----------
        what
            Is being done, as in "MLflow could not ...".
        work
            Looks at the event now and then: once it is set, nobody waits for it any more.

        Raises
        ------
        Unavailable
            When it takes too long, or too many did before.
        """
        if not self._room.acquire(blocking=False):
            raise Unavailable(f"MLflow could not {what}: too much hangs already")
        future: Future[_T] = Future()
        left = threading.Event()

        def do() -> _T:
            try:
                return work(left)
            finally:
                self._room.release()

        # A daemon: a process that stops does not wait for it either.
        thread = threading.Thread(target=settle, args=(future, do), name="mlflow", daemon=True)
        try:
            thread.start()
            self._wait(what, future)
        except BaseException:
            left.set()
            raise
        return future.result()

    def _wait(self, what: str, future: Future[_T]) -> None:
        ends_at = monotonic() + self._seconds
        while not future.done():
            left_s = ends_at - monotonic()
            if left_s <= 0:
                raise Unavailable(
                    f"MLflow could not {what}: it was not done after {self._seconds:g} s"
                )
            wait([future], min(left_s, _LOOK_EVERY_S))


class InThisThread(Executor):
    """Does what is submitted at once: a pool's threads would keep the process from ending."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Do it, and return a future that is done."""
        future: Future[_T] = Future()
        settle(future, lambda: fn(*args, **kwargs))
        return future


def settle(future: Future[_T], work: Callable[[], _T]) -> None:
    """Let a future have what the work returns or raises."""
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
