from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view

from faultline.detector.smoothing import SCALED_LIMIT, scaled, window_means, windowed_sums


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(0, 40), st.integers(1, 4))
def test_window_sums_equal_those_of_every_window_summed_alone(
    window_rows: int, more: int, sensors: int
) -> None:
    rows = np.random.default_rng(window_rows).normal(size=(window_rows + more, sensors))

    sums = windowed_sums(rows, window_rows)

    expected = sliding_window_view(rows, window_rows, axis=0).sum(axis=2)
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-12)


def test_a_huge_value_leaves_no_trace_once_it_is_out_of_the_window() -> None:
    rows = np.full((50, 1), 0.1)
    clean = windowed_sums(rows, 7)[-1]
    rows[10] = 1e100

    assert windowed_sums(rows, 7)[-1] == clean


def test_a_mean_is_of_the_present_values_alone() -> None:
    means, counts = window_means(np.array([[1.0], [np.nan], [3.0], [8.0]]), 4)

    assert (means[0, 0], counts[0, 0]) == (4.0, 3.0)


def test_a_sensor_present_in_half_of_its_window_has_a_mean() -> None:
    assert window_means(np.array([[1.0], [3.0], [np.nan], [np.nan]]), 4)[0][0, 0] == 2.0


def test_a_sensor_present_in_less_than_half_of_its_window_has_none() -> None:
    assert np.isnan(window_means(np.array([[1.0], [np.nan], [np.nan], [np.nan]]), 4)[0][0, 0])


def test_scaled_values_stop_at_the_limit_even_where_the_division_overflows() -> None:
    out = scaled(np.array([[1e100], [-1e100]]), np.zeros(1), np.array([1e-250]))

    assert out.ravel().tolist() == [SCALED_LIMIT, -SCALED_LIMIT]


def test_an_infinite_value_counts_as_missing() -> None:
    assert np.isnan(scaled(np.array([[np.inf]]), np.zeros(1), np.ones(1))[0, 0])
