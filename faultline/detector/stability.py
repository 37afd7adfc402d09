"""Says whether a clustering is found again in another part of the history.

It knows that rows are in time order; it must not know how well clusters are separated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from faultline.detector.distance import nearest_cluster
from faultline.detector.kmeans import distinct_rows, k_means

LEAST_STABILITY = 0.8
"""Of the median agreement. Two clusterings that agree this far, chance taken off, are in good
agreement (Steinley, 2004, "Properties of the Hubert-Arabie adjusted Rand index", Psychological
Methods 9). The median, since a regime of a few visits lies in one half only now and then, which is
no fault of the clusters; one that was seen once always does."""

_STRETCHES = 20
"""With fewer, a regime that comes back would often lie in one half only; with more, a stretch of
a short history would hold no more than one window."""

_SPLITS = 10
_MOST_ROWS = 4_000


@dataclass(frozen=True, eq=False)
class Split:
    """Two halves of a history, made of stretches of time.

    Attributes
    ----------
    rows
        Shape (n, d): all rows, thinned evenly where there were many; NaN is missing.
    first
        Shape (n,): whether a row is in the first half.
    distinct
        The distinct rows of the half that has fewer of them.
    """

    rows: NDArray[np.float64]
    first: NDArray[np.bool_]
    distinct: int


def splits(rows: NDArray[np.float64], seed: int) -> tuple[Split, ...]:
    """Cut a history into stretches of time and deal these out to two halves, again and again.

    Rows are drawn by stretches and not one by one, since neighbouring windows share readings:
    single rows would put the same moment into both halves, and a regime that was seen only once
    would look as if it had come back.

    Parameters
    ----------
    rows
        Shape (n, d), n at least 2, machine after machine, each in time order; NaN is missing.
    seed
        Of the dealing.
    """
    if len(rows) > _MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.int64)]
    stretches = min(_STRETCHES, len(rows))
    stretch = np.arange(len(rows)) * stretches // len(rows)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_SPLITS):
        first = np.isin(stretch, rng.permutation(stretches)[: stretches // 2])
        distinct = min(distinct_rows(rows[first]), distinct_rows(rows[~first]))
        found.append(Split(rows, first, distinct))
    return tuple(found)


def agreements(halves: Sequence[Split], k: int, seed: int) -> NDArray[np.float64]:
    """Say for each split how far the clusterings of its two halves agree.

    Each half is clustered, both clusterings label all rows by the nearest centre, and the
    adjusted Rand index compares the labels: 1 when they agree, about 0 when they agree no more
    than by chance. A half with fewer than k distinct rows agrees with nothing.

    Parameters
    ----------
    halves
        From `splits`.
    k
        Number of clusters, at least 2.
    seed
        Of the starts.

    Returns
    -------
    ndarray
        Shape (number of splits,).

    Notes
    -----
    The two halves are those of Lange, Roth, Braun and Buhmann, 2004, "Stability-based validation
    of clustering solutions", Neural Computation 16; the comparison of labels on common rows is
    that of Ben-Hur, Elisseeff and Guyon, 2002, "A stability based method for discovering structure
    in clustered data", PSB 7. Stability alone does not prove clusters: a single elongated one is
    cut in two at the same place every time (von Luxburg, 2010, "Clustering stability: an
    overview"). `faultline.detector.separation` looks after that.
    """
    return np.array([_agreement(half, k, seed) for half in halves])


def _agreement(half: Split, k: int, seed: int) -> float:
    if half.distinct < k:
        return 0.0
    one, other = (
        nearest_cluster(half.rows, None, k_means(half.rows[part], k, seed)[0])[1]
        for part in (half.first, ~half.first)
    )
    return float(adjusted_rand_score(one, other))
