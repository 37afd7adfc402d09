from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from faultline.detector.boundary import combine

RATE = 0.002
SENSORS = 8

seeds = st.integers(0, 2**32 - 1)


def blocks(
    seed: int, count: int = 5, windows: int = 80, between: float = 0.0
) -> list[NDArray[np.float64]]:
    """Distances of normal rows, in blocks that differ by a factor."""
    rng = np.random.default_rng(seed)
    factors = 1 + between * rng.normal(size=count)
    return [factor * np.sqrt(rng.chisquare(SENSORS, windows)) for factor in factors]


@given(seeds, st.floats(1e3, 1e9))
def test_one_bad_block_moves_the_boundary_no_further_than_the_others_reach(
    seed: int, bad: float
) -> None:
    good = blocks(seed)
    reach = np.ptp(np.concatenate(good))

    assert combine([*good, bad * good[0]], RATE) <= combine(good, RATE) + reach


@given(seeds)
def test_the_boundary_lies_above_the_median_block(seed: int) -> None:
    held_out = blocks(seed, between=0.1)

    assert combine(held_out, RATE) > np.median([np.quantile(one, 1 - RATE) for one in held_out])


def test_blocks_that_differ_more_give_a_wider_boundary() -> None:
    alike, different = blocks(1), blocks(1, between=0.2)

    assert combine(different, RATE) > 1.1 * combine(alike, RATE)


def test_a_lower_rate_gives_a_wider_boundary() -> None:
    assert combine(blocks(1), 0.0005) > combine(blocks(1), 0.01)


def test_a_heavier_tail_gives_a_wider_boundary() -> None:
    rng = np.random.default_rng(2)
    tails = {"light": rng.normal(0, 1, 400), "heavy": rng.standard_t(3, 400) / np.sqrt(3)}
    beyond = {
        # Of the same mean and variance; and no quantile of few windows that could tell.
        name: combine([10 + np.roll(tail / tail.std(), 50 * i)[:300] for i in range(5)], 1e-4) - 10
        for name, tail in tails.items()
    }

    assert beyond["heavy"] > 1.1 * beyond["light"]


def test_many_alike_windows_give_the_true_quantile_and_the_margin() -> None:
    # The square root of chi-square's quantile at 99.8 % with 8 degrees of freedom is 4.938; the
    # margin of a tenth counts in one estimate of two.
    assert combine(blocks(3, count=20, windows=20_000), RATE) == pytest.approx(
        4.938 * np.sqrt(1.1), rel=0.01
    )


def test_blocks_without_any_spread_still_leave_a_margin() -> None:
    assert combine([np.full(80, 4.0)] * 5, RATE) == pytest.approx(4.0 * np.sqrt(1.1))


def test_rows_that_repeat_to_the_last_digit_have_no_distance() -> None:
    assert combine([np.zeros(80)] * 5, RATE) == 0.0


def test_on_machines_that_only_run_the_next_block_exceeds_it_at_about_the_rate() -> None:
    exceeding = []
    for seed in range(200):
        *history, following = blocks(seed, count=6, windows=400, between=0.05)
        exceeding.append((following > combine(history, RATE)).mean())

    assert 0.2 * RATE < np.mean(exceeding) < 2 * RATE
