"""Says whether there is room between clusters, or one was cut up. NumPy only; knows no time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

LEAST_SEPARATION = 2.0
"""The border of two normal clusters then leaves 2 % of either on the wrong side. It must be more
than sqrt(3), which one cluster that is cut in two can reach: see `separation`."""


def separation(
    rows: NDArray[np.float64], labels: NDArray[np.int64], centres: NDArray[np.float64]
) -> float:
    """How many standard deviations the border of two clusters is away from their centres.

    Each two clusters are looked at along the line through their centres. The border lies halfway;
    that distance is divided by each one's standard deviation along the line. Returned is the least
    of all.

    Parameters
    ----------
    rows
        Shape (n, d); NaN is missing.
    labels
        Shape (n,): the nearest centre of each row.
    centres
        Shape (k, d), k at least 2: the clusters' means.

    Returns
    -------
    float
        Infinite when no cluster has any spread.

    Notes
    -----
    A single cluster, cut in two, reaches sqrt(3) at most. Its density has one peak, so on one side
    of the border it only falls. Among all falling densities with the same mean the uniform one has
    the least spread (Khinchin's theorem), and half of a uniform stretch has its mean sqrt(3)
    standard deviations from the border. That is also what a steady drift reaches; half of a normal
    distribution, however elongated, reaches sqrt(2 / (pi - 2)) = 1.32. The silhouette has no such
    limit: a drift cut in two has about 0.6, and a skewed sensor still more.

    Examples
    --------
    >>> drift = np.linspace(0, 1, 1000)[:, np.newaxis]
    >>> round(separation(drift, np.repeat([0, 1], 500), np.array([[0.25], [0.75]])), 2)
    1.73
    """
    least = float("inf")
    for one, other in combinations(range(len(centres)), 2):
        between = centres[other] - centres[one]
        distance = float(np.linalg.norm(between))
        if distance == 0.0:
            return 0.0
        for index in (one, other):
            deviation = rows[labels == index] - centres[index]
            spread = _spread_along(deviation, between / distance)
            if spread > 0.0:
                least = min(least, distance / 2 / spread)
    return least


def _spread_along(deviation: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """Standard deviation along a direction, from what is present of each row.

    A row that lacks sensors shows only its part of the direction, so squares are divided by those
    parts; with nothing missing each part is 1.
    """
    present = ~np.isnan(deviation)
    part = float((present @ np.square(direction)).sum())
    if part == 0.0:
        return 0.0
    along = np.where(present, deviation, 0.0) @ direction
    return float(np.sqrt(np.square(along).sum() / part))
