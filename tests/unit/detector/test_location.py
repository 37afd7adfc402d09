"""Tests of the robust location."""

from __future__ import annotations

import numpy as np
import pytest

from faultline.detector.location import biweight


def _rows(seed: int, rows: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 1))


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_warm_up_far_from_the_rest_counts_for_nothing(share: float) -> None:
    errors = []
    for seed in range(20):
        rows = _rows(seed)
        rows[: int(share * len(rows))] += 8.0
        errors.append(biweight(rows, np.ones(1))[0])
    assert abs(np.mean(errors)) < 0.05


def test_of_ordinary_rows_it_is_nearly_as_good_as_the_mean() -> None:
    many = [_rows(seed) for seed in range(300)]
    error = np.std([biweight(rows, np.ones(1))[0] for rows in many])
    of_mean = np.std([rows.mean() for rows in many])
    of_median = np.std([np.median(rows) for rows in many])
    assert error < 1.1 * of_mean < of_median


def test_two_regimes_with_nothing_between_them_give_no_nonsense() -> None:
    rows = np.repeat([[0.0], [1000.0]], 50, axis=0)
    assert biweight(rows, np.ones(1))[0] == 500.0


def test_missing_values_count_for_nothing() -> None:
    rows = np.hstack((_rows(0), _rows(1)))
    rows[::3, 0] = np.nan
    scale = np.ones(2)
    alone = biweight(rows[np.isfinite(rows[:, 0])], scale)
    assert biweight(rows, scale)[0] == pytest.approx(alone[0], abs=1e-3)


def test_each_sensor_keeps_its_unit() -> None:
    rows = np.hstack((_rows(0), _rows(1)))
    found = biweight(rows, np.ones(2))
    assert biweight(rows * [1.0, 1e6], np.array([1.0, 1e6])) == pytest.approx(found * [1.0, 1e6])
