"""Work that can be ended before it is done. It knows nothing of what the work is.

Python has no way to end a thread but to raise an exception in it, and the numeric libraries ask
nobody between their steps. The exception comes at the next Python instruction: a single step in C
is finished first. It is raised only in a thread that does nothing but the work, and raised again
while the thread goes on: Python ignores what lands in a finalizer.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

_ASK_EVERY_S = 0.25
_RAISE_EVERY_S = 0.5
_T = TypeVar("_T")


class Interrupted(BaseException):
    """Nobody waits for the work any more. Not an `Exception`, so that no step goes on after it."""


def interruptible(work: Callable[[], _T], may_go_on: Callable[[], None]) -> _T:
    """Do work in a thread of its own, which inherits the niceness of this one; return its result.

    Parameters
    ----------
    work
        May be cut off at any instruction, like by a keyboard's interrupt: no step that others see.
    may_go_on
        Asked again and again meanwhile; what it raises ends the work, and is raised.
    """
    future: Future[_T] = Future()

    def run() -> None:
        # It may come when the work is just done.
        with suppress(Interrupted):
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    thread = threading.Thread(
        target=copy_context().run, args=(run,), name="interruptible", daemon=True
    )
    thread.start()
    try:
        while not wait([future], _ASK_EVERY_S).done:
            may_go_on()
    except BaseException:
        _interrupt(thread)
        raise
    thread.join()
    return future.result()


def _interrupt(thread: threading.Thread) -> None:
    """End a thread, and wait for its end: the memory is its own until then."""
    while thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted)
        )
        thread.join(_RAISE_EVERY_S)
