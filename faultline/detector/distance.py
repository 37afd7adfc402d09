"""How far a window mean is from the nearest cluster. NumPy only; knows no boundary and no time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ELEMENTS_AT_ONCE = 1 << 18
"""Rows x clusters x sensors held at once: large enough to hide Python, small enough for a cache."""


def nearest_cluster(
    means: NDArray[np.float64], widened: NDArray[np.float64] | None, clusters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance to the nearest cluster, over the sensors that are present.

    The distance over p of d sensors is multiplied by sqrt(d / p), so that it can be compared
    with a boundary found on all d (as the partial distance of Dixon, 1979, "Pattern recognition
    with partly missing data", IEEE Trans. SMC 9).

    Parameters
    ----------
    means
        Shape (n, d), scaled; NaN is missing. At least one is present in every row.
    widened
        Shape (n, d): divides the deviation of each sensor; None for 1 everywhere.
    clusters
        Shape (k, d), scaled.

    Returns
    -------
    distance
        Shape (n,).
    cluster
        Shape (n,): index of the nearest one, the lowest where two are equally near.

    Examples
    --------
    >>> clusters = np.array([[0.0, 0.0], [10.0, 10.0]])
    >>> rows = np.array([[3.0, 4.0], [10.0, np.nan], [9.0, np.nan]])
    >>> distance, cluster = nearest_cluster(rows, None, clusters)
    >>> distance.round(3), cluster
    (array([5.   , 0.   , 1.414]), array([0, 1, 1]))
    """
    rows, sensors = means.shape
    distance = np.empty(rows)
    cluster = np.empty(rows, dtype=np.int64)
    step = max(1, _ELEMENTS_AT_ONCE // clusters.size)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        deviation = means[part, np.newaxis, :] - clusters
        if widened is not None:
            deviation /= widened[part, np.newaxis, :]
        np.square(deviation, out=deviation)
        missing = np.isnan(means[part])
        if missing.any():
            deviation[np.isnan(deviation)] = 0.0
        squares = deviation.sum(axis=2)
        nearest = squares.argmin(axis=1)
        least = squares[np.arange(len(nearest)), nearest]
        if missing.any():
            least *= sensors / (sensors - missing.sum(axis=1))
        distance[part] = np.sqrt(least)
        cluster[part] = nearest
    return distance, cluster
