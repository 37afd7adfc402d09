"""Work that is ended before it is done."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from services.trainer.interruption import Interrupted, interruptible


class Enough(Exception):
    """Nobody wants the result any more."""


def go_on() -> None:
    """Let it go on."""


def stop() -> None:
    raise Enough


def test_the_result_is_that_of_the_work() -> None:
    assert interruptible(lambda: 6 * 7, stop) == 42


def test_what_the_work_raises_is_raised() -> None:
    def fail() -> None:
        raise KeyError("sensor")

    with pytest.raises(KeyError, match="sensor"):
        interruptible(fail, go_on)


def test_work_that_nobody_wants_any_more_is_over_when_that_is_told() -> None:
    ended = threading.Event()

    def work() -> None:
        rows = np.ones((200, 200))
        try:
            for _ in range(10**9):
                rows @ rows
        except Interrupted:
            ended.set()
            raise

    with pytest.raises(Enough):
        interruptible(work, stop)
    assert ended.is_set()
    assert "interruptible" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_a_finalizer_swallows_comes_again() -> None:
    swallowed = threading.Event()
    given_up = threading.Event()

    class Finalized:
        def __del__(self) -> None:
            try:
                while not given_up.is_set():
                    pass
            finally:
                swallowed.set()

    def work() -> None:
        Finalized()
        while not given_up.is_set():
            pass

    # Were it raised once only, the work would go on until this.
    giving_up = threading.Timer(30.0, given_up.set)
    giving_up.start()
    try:
        with pytest.raises(Enough):
            interruptible(work, stop)
        assert swallowed.is_set()
        assert not given_up.is_set()
    finally:
        giving_up.cancel()
        giving_up.join()


def test_it_is_asked_again_and_again() -> None:
    asked = threading.Semaphore(0)

    def third_time() -> None:
        asked.release()

    def work() -> str:
        for _ in range(3):
            asked.acquire()
        return "done"

    assert interruptible(work, third_time) == "done"
