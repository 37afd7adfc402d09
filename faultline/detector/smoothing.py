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

WORTH_FILLING = 0.5
"""A missing cell is filled where a value is mostly at least this near, in spreads, to the one of a
window before: twice as near as to any other of its sensor."""


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


def lagged_change(
    rows: NDArray[np.float64], window_rows: int, since_gap: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each row differs from the one a window before it, between which there is no gap.

    Parameters
    ----------
    rows
        Shape (n, d); NaN is missing.
    window_rows
        Length of a window.
    since_gap
        Shape (n,): as `rows_since_gap` counts.

    Returns
    -------
    ndarray
        Shape (m, d), NaN where either is missing.

    Examples
    --------
    >>> lagged_change(np.array([[1.0], [5.0], [2.0], [5.0]]), 2, np.array([1, 2, 3, 4])).ravel()
    array([1., 0.])
    """
    own = np.flatnonzero(since_gap > window_rows)
    return np.asarray(rows[own] - rows[own - window_rows])


def filled_means(
    rows: NDArray[np.float64],
    window_rows: int,
    change: NDArray[np.float64],
    since_gap: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of every full window, its missing values filled with those of one window before.

    A window is as long as the load cycle, so on a machine that has one those are of the same phase
    one cycle ago. Sensors of which this is not true, and values that are missing there as well,
    are not filled. What is filled does not count as present when half of a window is asked for.

    The values filled side by side are all wrong by up to `change`, in the same direction; those of
    different holes are in different phases, so their errors add by squares.

    Parameters
    ----------
    rows
        Shape (window_rows + n + window_rows - 1, d), scaled: all the windows' rows and as many as
        one window has before them. NaN is missing.
    window_rows
        Length of a window.
    change
        Shape (d,), in spreads of single rows: root mean square of `lagged_change`.
    since_gap
        Shape of `rows` but for the columns: as `rows_since_gap` counts.

    Returns
    -------
    means
        Shape (n, d), as `window_means` gives them.
    counts
        Same shape: how many values present would give a mean as certain. See `widening`.

    Examples
    --------
    >>> cycle = np.array([[1.0], [3.0], [5.0], [1.0], [np.nan], [5.0]])
    >>> means, counts = filled_means(cycle, 3, np.array([0.1]), np.arange(1, 7))
    >>> means.ravel(), counts.round(2).ravel()
    (array([3.]), array([2.9]))
    """
    w = window_rows
    missing = np.isnan(rows)
    own, before = missing[w:], missing[:-w]
    fill = own & ~before & (change < WORTH_FILLING) & (since_gap[w:] > w)[:, np.newaxis]
    if not fill.any():
        return window_means(rows[w:], w)
    means, counts = window_means(np.where(fill, rows[:-w], rows[w:]), w)
    means[2 * windowed_sums((~own).astype(np.float64), w) < w] = np.nan
    position = np.arange(len(rows))[:, np.newaxis]
    in_hole = position - np.maximum.accumulate(np.where(missing, -1, position), axis=0)
    # The squares of 1, 2, 3, ... in steps: of each hole the square of its length comes together.
    doubt = windowed_sums(np.where(fill, (2.0 * in_hole[w:] - 1.0) * change**2, 0.0), w)
    divisor = np.maximum(counts, 1.0)
    lost = np.sqrt(((w - counts) / divisor) ** 2 + doubt / divisor**2)
    return means, np.where(doubt > 0, w / (1.0 + lost), counts)


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
        Shape (n, d): values present per window, as `window_means` counts them; or, where some
        were filled, as `filled_means` does, so that ``(w - m) / m`` is what error is left.
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
