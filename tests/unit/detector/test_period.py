from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from faultline.detector.period import find_period


def cycle(period: int, rows: int = 1_200, noise: float = 0.3) -> NDArray[np.float64]:
    """A load that is on for a third of its cycle, seen by one sensor."""
    on = (np.arange(rows) % period) < period / 3
    return (on + np.random.default_rng(0).normal(scale=noise, size=rows))[:, np.newaxis]


@settings(deadline=None, max_examples=30)
@given(st.integers(6, 110))
def test_the_period_of_a_noisy_load_is_found(period: int) -> None:
    assert find_period([cycle(period)], 120) == pytest.approx(period, abs=1)


def test_the_period_is_found_beside_sensors_that_repeat_nothing() -> None:
    noise = np.random.default_rng(1).normal(size=(1_200, 9))

    assert find_period([np.hstack((noise, cycle(45)))], 120) == 45


def test_the_period_is_found_under_a_trend() -> None:
    trend = np.linspace(0, 8, 1_200)[:, np.newaxis]

    assert find_period([cycle(45) + trend], 120) == 45


def test_the_period_is_found_with_values_missing() -> None:
    rows = cycle(45)
    rows[np.random.default_rng(2).random(rows.shape) < 0.1] = np.nan

    assert find_period([rows], 120) == 45


@pytest.mark.parametrize("kind", ["noise", "random walk", "slow", "constant"])
def test_rows_that_repeat_nothing_have_no_period(kind: str) -> None:
    rng = np.random.default_rng(3)
    rows = {
        "noise": rng.normal(size=(2_000, 3)),
        "random walk": np.cumsum(rng.normal(size=(2_000, 3)), axis=0),
        "slow": np.sin(np.arange(2_000) / 500)[:, np.newaxis],
        "constant": np.ones((2_000, 1)),
    }[kind]

    assert find_period([rows], 120) is None


def test_a_period_longer_than_the_limit_is_not_found() -> None:
    assert find_period([cycle(300, rows=3_000)], 120) is None


def test_a_cycle_seen_less_than_three_times_is_not_believed() -> None:
    assert find_period([cycle(60, rows=130)], 120) is None


def test_two_rows_have_no_period() -> None:
    assert find_period([np.zeros((2, 1))], 120) is None
