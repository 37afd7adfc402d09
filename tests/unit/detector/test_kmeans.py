from __future__ import annotations

import numpy as np

from faultline.detector.kmeans import MANY_DISTINCT, distinct_rows, k_means


def test_few_distinct_rows_are_counted_wherever_they_are() -> None:
    rows = np.zeros((10 * MANY_DISTINCT, 2))
    rows[-2:] = [[1.0, 0.0], [1.0, 1.0]]

    assert distinct_rows(rows) == 3


def test_many_distinct_rows_are_known_from_the_first_of_them() -> None:
    rows = np.random.default_rng(0).normal(size=(10 * MANY_DISTINCT, 2))

    assert distinct_rows(rows) >= MANY_DISTINCT


def test_missing_values_are_filled_from_the_rows_own_cluster() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 3))
    rows[200:] += 20.0
    rows[0, 1] = rows[399, 2] = np.nan

    centres, labels, filled = k_means(rows, 2, seed=0)

    assert (labels[:200] == labels[0]).all()
    assert (labels[200:] == 1 - labels[0]).all()
    assert filled[0, 1] == centres[labels[0], 1]
    assert filled[399, 2] == centres[labels[399], 2]
    np.testing.assert_allclose(centres[labels[0]], np.nanmean(rows[:200], axis=0))
