"""Causal window means, the one smoothing that training and scoring share. NumPy only.

Every window is summed on its own, by a tree of additions that depends on its length alone. So a
mean has the same bits however the rows were cut into calls, and no error builds up over time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALED_LIMIT = 1e6
"""Scaled values are cut off at this many scales, so that no square of one can overflow. What is
further out than a million scales is an alarm either way."""


def windowed_sums(rows: NDArray[np.float64], window_rows: int) -> NDArray[np.float64]:
    """Sum every full window of `window_rows` consecutive rows.

    Sums of 1, 2, 4, ... rows are built by doubling and then joined by the binary digits of the
    length: O(n log w) instead of O(n w).

    Parameters
    ----------
    rows
        Shape (n, d).
    window_rows
        Length of a window, 1 to n.

    Returns
    -------
    ndarray
        Shape (n - window_rows + 1, d); row i sums ``rows[i : i + window_rows]``.

    Examples
    --------
    >>> windowed_sums(np.array([[1.0], [2.0], [3.0], [4.0]]), 3).ravel()
    array([6., 9.])
    """
    count = len(rows) - window_rows + 1
    total: NDArray[np.float64] | None = None
    covered = 0
    length = 1
    doubled = rows
    while True:
        if window_rows & length:
            part = doubled[covered : covered + count]
            total = part if total is None else total + part
            covered += length
        if covered == window_rows:
            break
        doubled = doubled[:-length] + doubled[length:]
        length *= 2
    assert total is not None
    return total


def scaled(
    values: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    low: NDArray[np.float64] | float = -SCALED_LIMIT,
    high: NDArray[np.float64] | float = SCALED_LIMIT,
) -> NDArray[np.float64]:
    """Values (n, d) as deviations from `centre` in units of `scale`, cut off at `low` and `high`.

    What is not finite stays or becomes NaN, which means missing.

    Examples
    --------
    >>> scaled(np.array([[5.0], [1e100], [np.nan]]), np.array([1.0]), np.array([2.0])).ravel()
    array([2.e+00, 1.e+06,    nan])
    """
    finite = np.isfinite(values)
    with np.errstate(over="ignore", invalid="ignore"):
        units = values - centre
        units /= scale
    np.minimum(units, high, out=units)
    np.maximum(units, low, out=units)
    if not finite.all():
        units[~finite] = np.nan
    return units


def window_means(
    rows: NDArray[np.float64], window_rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the present values of every full window, per sensor.

    Parameters
    ----------
    rows
        Shape (n, d), scaled; NaN is missing.
    window_rows
        Length of a window, 1 to n.

    Returns
    -------
    means
        Shape (n - window_rows + 1, d); NaN where fewer than half of a window's values are
        present, because so few say too little of the whole window.
    counts
        Same shape: how many values were present.

    Examples
    --------
    >>> means, counts = window_means(np.array([[1.0], [np.nan], [3.0], [np.nan]]), 3)
    >>> means.ravel(), counts.ravel()
    (array([ 2., nan]), array([2., 1.]))
    """
    missing = np.isnan(rows)
    if not missing.any():
        sums = windowed_sums(rows, window_rows)
        return sums / window_rows, np.full(sums.shape, float(window_rows))
    sums = windowed_sums(np.where(missing, 0.0, rows), window_rows)
    counts = windowed_sums((~missing).astype(np.float64), window_rows)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=2 * counts >= window_rows)
    return means, counts


def widening(
    counts: NDArray[np.float64], window_rows: int, spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By what a deviation must be divided because part of its window is missing.

    The mean of the m values present of w is off by ``(w - m) / m`` times the distance between
    the mean of the missing rows and that of the whole window. On a machine with a load cycle the
    missing rows can be a phase of their own, so that distance is taken as large as the spread of
    single rows. The error adds to the normal variation by squares:
    ``sqrt(1 + (spread * (w - m) / m) ** 2)``.

    Parameters
    ----------
    counts
        Shape (n, d): values present per window, as `window_means` counts them.
    window_rows
        Length of a window.
    spread
        Shape (d,): standard deviation of single rows, in units of the scale of window means.

    Returns
    -------
    ndarray
        Shape (n, d), at least 1; exactly 1 where nothing is missing.

    Examples
    --------
    >>> widening(np.array([[4.0], [3.0]]), 4, np.array([3.0])).round(3).ravel()
    array([1.   , 1.414])
    """
    lost = (window_rows - counts) / np.maximum(counts, 1.0)
    root: NDArray[np.float64] = np.sqrt(1.0 + (spread * lost) ** 2)
    return root
