"""How far a window mean is from the nearest cluster. NumPy only; knows no boundary and no time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ELEMENTS_AT_ONCE = 1 << 14
"""Numbers held at once: so many fit into a core's cache, and are enough to hide Python."""

_FEW_ROWS = 24
"""Up to so many rows, measuring to every cluster takes less time than proposing one."""


def rows_at_once(d: int) -> int:
    """How many rows of d numbers to work on at once: a multiple of 64.

    >>> rows_at_once(16)
    1024
    """
    return max(64, (_ELEMENTS_AT_ONCE // d) & ~63)


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
    if widened is None and not has_missing(means):
        return nearest_complete(means, clusters)
    n, d = means.shape
    distance, cluster = np.empty(n), np.empty(n, dtype=np.int64)
    step = max(1, rows_at_once(d) // len(clusters))
    for start in range(0, n, step):
        part = slice(start, start + step)
        deviation = means[part, np.newaxis, :] - clusters
        if widened is not None:
            deviation /= widened[part, np.newaxis, :]
        missing = np.isnan(means[part])
        deviation[np.isnan(deviation)] = 0.0
        least, cluster[part] = _least(np.vecdot(deviation, deviation))
        distance[part] = np.sqrt(least * (d / (d - missing.sum(axis=1))))
    return distance, cluster


def nearest_complete(
    rows: NDArray[np.float64], clusters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """As `nearest_cluster`, to the last bit, for rows (n, d) of which nothing is missing."""
    n, d = rows.shape
    if len(clusters) == 1:
        deviation = rows - clusters
        return np.sqrt(np.vecdot(deviation, deviation)), np.zeros(n, dtype=np.int64)
    if n <= _FEW_ROWS:
        least, cluster = _measured(rows, clusters)
        return np.sqrt(least), cluster
    squares, cluster = np.empty(n), np.empty(n, dtype=np.int64)
    lengths = np.vecdot(clusters, clusters)[:, np.newaxis]
    reach = np.sqrt(lengths.max())
    ranks = np.arange(len(clusters), dtype=np.float64)
    step = rows_at_once(d)
    for start in range(0, n, step):
        part = slice(start, start + step)
        block = rows[part]
        # The squared distance less the row's own square, as one matrix product; not as exact as
        # the distance itself, so what is nearly as near is measured.
        proposed = (-2.0 * clusters) @ block.T
        proposed += lengths
        size = max(np.maximum.reduce(block, axis=None), -np.minimum.reduce(block, axis=None))
        doubt = 16 * (d + 2) * np.finfo(np.float64).eps * (reach + np.sqrt(d) * size) ** 2
        is_near = proposed <= proposed.min(axis=0) + doubt
        if np.count_nonzero(is_near) > len(block):
            squares[part], cluster[part] = _measured(block, clusters)
            continue
        # One cluster is marked for each row: the sum of the marks' ranks is its number.
        cluster[part] = ranks @ is_near
        deviation = block - clusters.take(cluster[part], axis=0)
        squares[part] = np.vecdot(deviation, deviation)
    return np.sqrt(squares, out=squares), cluster


def has_missing(rows: NDArray[np.float64]) -> bool:
    """Whether anything is NaN.

    >>> has_missing(np.array([[1.0, np.nan]]))
    True
    """
    # NaN counts as the least; NumPy finds where it is sooner than what it is.
    return bool(rows.size) and math.isnan(rows.item(rows.argmin()))


def _measured(
    rows: NDArray[np.float64], clusters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    deviation = rows[:, np.newaxis, :] - clusters
    return _least(np.vecdot(deviation, deviation))


def _least(
    squares: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The least of each row (n, k), and which it is."""
    return np.minimum.reduce(squares, axis=1), squares.argmin(axis=1)
