"""k-means on rows with missing values. Needs scikit-learn; knows no time, nor which k is good."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans

from faultline.detector.distance import nearest_cluster

MINI_BATCH_ROWS = 10_000
"""More rows than these are clustered by mini-batches: about ten times faster, with a mean squared
distance one or two percent larger at most on generated rows."""

MANY_DISTINCT = 500
"""Far more than the clusters anyone looks for."""

_BATCH_ROWS = 1_024
_STARTS = 4
_FILL_ROUNDS = 3


def k_means(
    rows: NDArray[np.float64], k: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Find k clusters.

    Parameters
    ----------
    rows
        Shape (n, d); NaN is missing, but no row is all missing.
    k
        Number of clusters, at most as many as there are distinct rows.
    seed
        Of the starts. The same rows and seed give the same bits on one thread.

    Returns
    -------
    centres
        Shape (k, d).
    labels
        Shape (n,), int64: the nearest centre of each row.
    filled
        Shape (n, d): the rows, with what is missing filled in from the row's cluster.

    Notes
    -----
    Above `MINI_BATCH_ROWS` rows: Sculley, 2010, "Web-scale k-means clustering", WWW.
    Missing values are filled from the row's cluster, which is then found anew (k-POD: Chi, Chi
    and Baraniuk, 2016, "k-POD: a method for k-means clustering of missing data", Am. Stat. 70).
    A cluster's centre is the mean of what is present, so that no filling draws it to itself.
    """
    missing = np.isnan(rows)
    filled = np.where(missing, 0.0, rows)
    for _ in range(_FILL_ROUNDS if missing.any() else 1):
        model = _model(len(rows), k, seed).fit(filled)
        labels = model.labels_.astype(np.int64)
        if missing.any():
            # By what is present, as in scoring: what was filled in would vote for itself.
            labels = nearest_cluster(rows, None, model.cluster_centers_.astype(np.float64))[1]
        centres = _present_means(rows, labels, model.cluster_centers_.astype(np.float64))
        filled = np.where(missing, centres[labels], filled)
    return centres, labels, filled


def distinct_rows(rows: NDArray[np.float64]) -> int:
    """Count rows that differ from one another; where they are many, at least `MANY_DISTINCT`.

    The first rows nearly always show that there are more than any number of clusters, and sorting
    all of them takes longer than clustering them.
    """
    first = len(np.unique(rows[: 2 * MANY_DISTINCT], axis=0))
    return first if first >= MANY_DISTINCT else len(np.unique(rows, axis=0))


def _model(rows: int, k: int, seed: int) -> KMeans | MiniBatchKMeans:
    starts = _STARTS if k > 1 else 1
    if rows > MINI_BATCH_ROWS:
        return MiniBatchKMeans(
            n_clusters=k, n_init=starts, batch_size=_BATCH_ROWS, random_state=seed
        )
    return KMeans(n_clusters=k, n_init=starts, random_state=seed)


def _present_means(
    rows: NDArray[np.float64], labels: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the present values per cluster; that of `centres` where none is present."""
    present = ~np.isnan(rows)
    means = centres.copy()
    for index in range(len(centres)):
        own = labels == index
        counts = present[own].sum(axis=0)
        np.divide(np.nansum(rows[own], axis=0), counts, out=means[index], where=counts > 0)
    return means
