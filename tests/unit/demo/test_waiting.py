"""Waiting as long as something moves."""

from __future__ import annotations

import pytest

from faultline.demo.waiting import Stalled, wait_until


class StepClock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now_ms(self) -> int:
        return int(self.elapsed_s * 1_000)

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds


def test_it_returns_once_the_condition_holds() -> None:
    clock = StepClock()
    wait_until(lambda: clock.elapsed_s >= 3.0, "it", clock)
    assert clock.elapsed_s == pytest.approx(3.0, abs=0.3)


def test_it_waits_longer_than_its_patience_while_something_moves() -> None:
    clock = StepClock()
    wait_until(
        lambda: clock.elapsed_s >= 50.0,
        "it",
        clock,
        progress=lambda: int(clock.elapsed_s),
        patience_s=5.0,
    )
    assert clock.elapsed_s >= 50.0


def test_when_nothing_moves_it_says_what_it_waited_for_and_where_that_stands() -> None:
    with pytest.raises(Stalled, match=r"5 s for the end.*stands at 7"):
        wait_until(lambda: False, "the end", StepClock(), progress=lambda: 7, patience_s=5.0)
