"""Queries that end when whoever waits for them is interrupted.

The driver waits in C, where no exception reaches it: only another thread can cancel a query.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

_LOOK_EVERY_S = 0.25
_T = TypeVar("_T")


def cancellable(connection: Any, work: Callable[[], _T]) -> _T:
    """Do work on a connection in a thread of its own; return what it returns.

    An exception that is raised in this thread meanwhile cancels the query and ends the work.

    Parameters
    ----------
    connection
        psycopg2's, or what stands for it.
    """
    future: Future[_T] = Future()

    def do() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    thread = threading.Thread(target=do, name="query", daemon=True)
    try:
        thread.start()
        while not wait([future], _LOOK_EVERY_S).done:
            pass
    except BaseException:
        # Between two queries there is nothing to cancel; the next one is met by the next look.
        while thread.is_alive():
            connection.cancel()
            thread.join(_LOOK_EVERY_S)
        raise
    return future.result()
