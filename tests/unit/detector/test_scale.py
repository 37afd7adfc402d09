from __future__ import annotations

import numpy as np
import pytest

from faultline.detector.scale import robust_scale, winsorised_std


def column(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values)[:, np.newaxis]


def test_the_scale_of_normal_values_is_their_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(loc=7, scale=3, size=(20_000, 1))

    centre, scale = robust_scale(values)

    assert (centre[0], scale[0]) == (pytest.approx(7, abs=0.1), pytest.approx(3, rel=0.03))


def test_a_tenth_of_wild_values_barely_moves_the_scale() -> None:
    values = np.random.default_rng(0).normal(size=(1_000, 1))
    values[::200] = 1e100

    assert robust_scale(values)[1][0] == pytest.approx(1, rel=0.1)


def test_a_sensor_that_rests_most_of_the_time_has_a_scale_of_its_movements() -> None:
    values = np.zeros((1_000, 1))
    values[::10] = 5.0

    assert robust_scale(values)[1][0] == pytest.approx(1.5)


def test_a_column_with_one_rare_value_has_a_positive_spread() -> None:
    assert winsorised_std(column(*[0.0] * 999, 1.0))[0] > 0


def test_missing_values_change_nothing() -> None:
    assert robust_scale(column(1, 2, np.nan, 3, 4, np.nan)) == robust_scale(column(1, 2, 3, 4))


def test_no_scale_is_below_the_rounding_of_its_values() -> None:
    assert robust_scale(column(1e12, 1e12, 1e12 + 1e-4))[1][0] >= 1e3


def test_a_constant_column_has_the_least_scale() -> None:
    assert robust_scale(column(0.0, 0.0, 0.0), least=0.25)[1][0] == 0.25
