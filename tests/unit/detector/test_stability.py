from __future__ import annotations

import numpy as np

from faultline.detector.stability import agreements, splits


def test_both_halves_of_a_split_are_whole_stretches_of_time() -> None:
    for split in splits(np.arange(200.0)[:, np.newaxis], seed=0):
        by_stretch = split.first.reshape(20, 10)

        assert (by_stretch == by_stretch[:, :1]).all()
        assert by_stretch[:, 0].sum() == 10


def test_clusters_that_come_back_are_found_in_every_half() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 3)) + 20.0 * (np.arange(600) // 10 % 3)[:, np.newaxis]

    assert agreements(splits(rows, seed=0), 3, seed=0).tolist() == [1.0] * 10


def test_the_halves_of_one_cloud_agree_on_no_clusters() -> None:
    rows = np.random.default_rng(0).normal(size=(1_000, 8))

    assert np.median(agreements(splits(rows, seed=0), 3, seed=0)) < 0.3


def test_a_half_with_too_few_distinct_rows_agrees_with_nothing() -> None:
    rows = np.repeat([[0.0], [1.0]], 100, axis=0)
    rows[0] = 2.0

    assert agreements(splits(rows, seed=0), 3, seed=0).tolist() == [0.0] * 10


def test_missing_values_do_not_hide_clusters() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 4)) + 20.0 * (np.arange(600) // 10 % 2)[:, np.newaxis]
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows = rows[~np.isnan(rows).all(axis=1)]

    assert np.median(agreements(splits(rows, seed=0), 2, seed=0)) == 1.0


def test_the_same_rows_and_seed_give_the_same_agreements() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 4))

    assert (
        agreements(splits(rows, 1), 3, 1).tobytes() == agreements(splits(rows, 1), 3, 1).tobytes()
    )
