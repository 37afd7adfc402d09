from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from faultline.detector.clusters import Clustering, ClusterSettings, cluster, try_every_k
from faultline.detector.kmeans import MINI_BATCH_ROWS

SETTINGS = ClusterSettings(
    smallest_share=0.01, finest=5, max_rows=5_000, silhouette_sample_rows=5_000, seed=0
)


def regimes(*centres: float, rows: int = 200) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(loc=centre, size=(rows, 3)) for centre in centres])


def test_as_many_clusters_are_chosen_as_there_are_regimes() -> None:
    assert try_every_k(regimes(0, 20, 50), 2, 5, SETTINGS)[1] == 3


def test_the_silhouette_is_the_euclidean_one_of_scikit_learn() -> None:
    rows = regimes(0, 20)
    candidates, _, _ = try_every_k(rows, 2, 2, SETTINGS)

    labels = KMeans(n_clusters=2, n_init=1, random_state=0).fit_predict(rows)
    # Each column is divided by its own scale, which on these rows is the same within a few percent.
    assert candidates[0].silhouette == pytest.approx(silhouette_score(rows, labels), abs=0.01)


def test_the_silhouette_says_on_how_many_rows_it_was_computed() -> None:
    settings = replace(SETTINGS, silhouette_sample_rows=150)

    assert try_every_k(regimes(0, 20), 2, 2, settings)[2] == 150


def test_a_candidate_with_a_tiny_cluster_is_refused_by_its_share() -> None:
    visits = (regimes(0, rows=20), regimes(100, rows=15), regimes(130, rows=5))
    rows = np.tile(np.vstack(visits), (20, 1))
    candidates, chosen, _ = try_every_k(rows, 2, 3, replace(SETTINGS, smallest_share=0.2))

    assert chosen == 2
    assert candidates[1].refusal == "its smallest cluster has 12.50 % of the rows"


def test_one_cluster_is_the_answer_for_one_cloud_of_rows() -> None:
    for seed in range(5):
        rows = np.random.default_rng(seed).normal(size=(1_000, 4))
        candidates, chosen, _ = try_every_k(rows, 2, 5, SETTINGS)

        assert chosen == 1
        assert all(candidate.refusal is not None for candidate in candidates)


def test_a_steady_drift_is_one_cluster_although_its_silhouette_is_high() -> None:
    rng = np.random.default_rng(0)
    rows = np.linspace(0, 50, 1_000)[:, np.newaxis] + rng.normal(size=(1_000, 3))
    candidates, chosen, _ = try_every_k(rows, 2, 5, SETTINGS)

    assert chosen == 1
    assert candidates[0].silhouette > 0.5
    assert candidates[0].refusal is not None
    assert candidates[0].refusal.startswith("one cluster cut up: a border lies 1.7")


def test_a_long_cloud_of_correlated_sensors_is_one_cluster() -> None:
    rng = np.random.default_rng(0)
    load = rng.normal(size=(1_000, 1))
    rows = load * [5.0, -5.0, 5.0, 5.0] + rng.normal(size=(1_000, 4))

    assert try_every_k(rows, 2, 5, SETTINGS)[1] == 1


def test_a_regime_that_was_seen_once_is_refused_as_unstable() -> None:
    rows = np.random.default_rng(0).normal(size=(1_000, 4))
    rows[400:450] += 30
    candidates, chosen, _ = try_every_k(rows, 2, 2, SETTINGS)

    assert chosen == 1
    assert candidates[0].stability < 0.2
    assert candidates[0].refusal is not None
    assert candidates[0].refusal.startswith("unstable: clusterings of two halves of the history")


def test_a_rare_regime_that_comes_back_is_a_cluster() -> None:
    rows = np.random.default_rng(0).normal(size=(1_000, 4))
    for start in (100, 310, 520, 730, 940):
        rows[start : start + 10] += 30
    candidates, chosen, _ = try_every_k(rows, 2, 4, SETTINGS)

    assert chosen == 2
    assert candidates[0].stability == 1.0


def test_one_cluster_is_chosen_when_every_candidate_is_refused() -> None:
    settings = replace(SETTINGS, smallest_share=0.49)
    rows = np.vstack((regimes(0, rows=300), regimes(20, rows=100)))

    assert try_every_k(rows, 2, 4, settings)[1] == 1


def test_a_few_wild_rows_draw_no_cluster_to_themselves() -> None:
    rows = regimes(0, 20)
    rows[:2] = 1e6

    assert np.abs(cluster(rows, 2, SETTINGS).clusters).max() < 10


def test_there_are_never_more_clusters_than_distinct_rows() -> None:
    rows = np.repeat([[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]], 100, axis=0)

    assert [candidate.k for candidate in try_every_k(rows, 2, 5, SETTINGS)[0]] == [2]


def test_missing_values_do_not_move_a_cluster() -> None:
    rows = regimes(0, 20)
    whole = cluster(rows, 2, SETTINGS)
    rows[np.random.default_rng(1).random(rows.shape) < 0.2] = np.nan
    holed = cluster(rows, 2, SETTINGS)

    def in_raw_units(found: Clustering) -> NDArray[np.float64]:
        return np.sort(found.centre + found.scale * found.clusters, axis=0)

    np.testing.assert_allclose(in_raw_units(holed), in_raw_units(whole), atol=0.5)


def test_the_same_rows_and_seed_give_the_same_bits() -> None:
    rows = regimes(0, 3, 5)

    assert cluster(rows, 3, SETTINGS).clusters.tobytes() == (
        cluster(rows.copy(), 3, SETTINGS).clusters.tobytes()
    )


def test_more_rows_than_the_limit_are_thinned_over_their_whole_length() -> None:
    settings = replace(SETTINGS, max_rows=100)

    assert try_every_k(regimes(0, 20, 50), 2, 5, settings)[1] == 3


def test_many_rows_give_the_clusters_and_the_bits_of_mini_batches() -> None:
    settings = replace(SETTINGS, max_rows=30_000)
    rows = regimes(0, 20, 50, rows=5_000)
    assert len(rows) > MINI_BATCH_ROWS

    found = cluster(rows, 3, settings)
    centres = np.sort((found.centre + found.scale * found.clusters).mean(axis=1))

    np.testing.assert_allclose(centres, [0, 20, 50], atol=0.1)
    assert cluster(rows, 3, settings).clusters.tobytes() == found.clusters.tobytes()
