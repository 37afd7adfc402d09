from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from faultline.detector.boundary import LEAST_MARGIN, combine

quantiles = st.lists(st.floats(1, 100), min_size=5, max_size=20)


@given(quantiles, st.floats(1e3, 1e9))
def test_one_bad_block_moves_the_boundary_no_further_than_the_others_reach(
    good: list[float], bad: float
) -> None:
    # The median is inside the good blocks, the deviation at most their range. Of the six or more
    # blocks, six leave the widest interval: 2.571 (Student's t) times sqrt(7 / 6).
    width = 2.78 * 1.4826
    limit = max(good) + width * (max(good) - min(good)) + LEAST_MARGIN * max(good)

    assert combine(np.array([*good, bad])) <= limit


@given(quantiles)
def test_the_boundary_lies_above_the_median_block(good: list[float]) -> None:
    assert combine(np.array(good)) > np.median(good)


def test_blocks_that_differ_more_give_a_wider_boundary() -> None:
    assert combine(np.array([2.0, 3.0, 4.0, 5.0, 6.0])) > combine(np.array([3.8, 3.9, 4, 4.1, 4.2]))


def test_the_boundary_is_the_end_of_the_interval_for_the_next_block() -> None:
    # Student's t of 4 degrees of freedom at 97.5 % is 2.776.
    expected = 4.0 + 2.776 * np.sqrt(6 / 5) * 1.4826 * 0.3

    assert combine(np.array([3.4, 3.7, 4.0, 4.3, 4.6])) == pytest.approx(expected, rel=1e-4)


def test_blocks_that_agree_still_leave_a_margin() -> None:
    assert combine(np.array([4.0] * 5)) == pytest.approx(4.4)
