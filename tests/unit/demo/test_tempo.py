"""A clock that slows down, stands still and stops."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from faultline.demo.tempo import Stopped, Tempo


def _nothing() -> None:
    pass


class StepClock:
    """Time passes by sleeping alone; `on_sleep` may change the world meanwhile."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.on_sleep: Callable[[], None] = _nothing

    def now_ms(self) -> int:
        return int(self.elapsed_s * 1_000)

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.on_sleep()


def test_at_rate_one_it_keeps_real_time() -> None:
    clock = StepClock()
    Tempo(clock, lambda: 1.0, threading.Event()).sleep(2.0)
    assert clock.elapsed_s == pytest.approx(2.0)


def test_at_a_tenth_a_second_takes_ten() -> None:
    clock = StepClock()
    tempo = Tempo(clock, lambda: 0.1, threading.Event())
    tempo.sleep(1.0)
    assert clock.elapsed_s == pytest.approx(10.0)
    assert tempo.monotonic_s() == pytest.approx(1.0)


def test_a_clock_that_stands_still_goes_on_when_the_rate_does() -> None:
    clock = StepClock()
    tempo = Tempo(clock, lambda: 0.0 if clock.elapsed_s < 5.0 else 1.0, threading.Event())
    tempo.sleep(1.0)
    assert clock.elapsed_s == pytest.approx(6.0, abs=0.2)


def test_a_sleeper_is_woken_by_stop() -> None:
    clock = StepClock()
    stop = threading.Event()
    clock.on_sleep = stop.set
    with pytest.raises(Stopped):
        Tempo(clock, lambda: 1.0, stop).sleep(1_000.0)
    assert clock.elapsed_s < 1.0
