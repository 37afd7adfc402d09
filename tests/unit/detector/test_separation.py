from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from faultline.detector.separation import LEAST_SEPARATION, separation


def cut_in_two(rows: NDArray[np.float64]) -> float:
    found = KMeans(n_clusters=2, n_init=4, random_state=0).fit(rows)
    return separation(rows, found.labels_, found.cluster_centers_)


def one_peak(kind: str) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    draw = {
        "normal": lambda: rng.normal(size=20_000),
        "uniform": lambda: rng.random(20_000),
        "exponential": lambda: rng.exponential(size=20_000),
        "heavy-tailed": lambda: rng.standard_t(3, size=20_000),
        "a spike with a shelf": lambda: rng.random(20_000) * (rng.random(20_000) < 0.2),
    }
    return draw[kind]()[:, np.newaxis]


@pytest.mark.parametrize(
    "kind", ["normal", "uniform", "exponential", "heavy-tailed", "a spike with a shelf"]
)
def test_one_peak_cut_in_two_stays_at_the_square_root_of_three_or_below(kind: str) -> None:
    assert cut_in_two(one_peak(kind)) < np.sqrt(3) + 0.05 < LEAST_SEPARATION


def test_two_normal_clusters_are_as_separated_as_half_their_distance() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4_000, 3)) * 0.5
    rows[:1_000, 1] += 6.0

    assert cut_in_two(rows) == pytest.approx(6.0, rel=0.05)


def test_the_least_separated_pair_counts() -> None:
    rows = np.array([[-1.0], [1.0], [9.0], [11.0], [99.0], [101.0]])

    assert separation(rows, np.array([0, 0, 1, 1, 2, 2]), np.array([[0.0], [10], [100]])) == 5.0


def test_missing_values_do_not_change_the_separation() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4_000, 4))
    labels = np.repeat([0, 1], 2_000)
    rows[2_000:] += 4.0
    centres = np.array([[0.0] * 4, [4.0] * 4])
    whole = separation(rows, labels, centres)
    rows[rng.random(rows.shape) < 0.3] = np.nan

    assert separation(rows, labels, centres) == pytest.approx(whole, rel=0.05)


def test_clusters_without_any_spread_are_infinitely_separated() -> None:
    rows = np.array([[0.0], [1.0]])

    assert separation(rows, np.array([0, 1]), rows) == np.inf
