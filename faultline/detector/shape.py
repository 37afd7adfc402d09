"""The shape view: windows normalised by themselves, for signals of which only the form counts.

NumPy only; training and scoring share it. It knows no clusters and no boundary.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faultline.detector.smoothing import windowed_sums

SEGMENTS = 8
"""Into so many stretches a window is cut, each of which is a column."""

FLAT = 0.1
"""A window whose deviation is less than this part of what single rows deviate is flat: its noise
is not blown up to a form."""


def segments_of(window_rows: int) -> int:
    """Return how many columns each sensor has."""
    return min(SEGMENTS, window_rows)


def shapes(
    rows: NDArray[np.float64], window_rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Form of every full window: its stretches' means, less its mean, over its deviation.

    Piecewise aggregate approximation of normalised windows (Keogh, Chakrabarti, Pazzani and
    Mehrotra, 2001, "Dimensionality reduction for fast similarity search in large time series
    databases", Knowl. Inf. Syst. 3). What a signal's level and size are makes no difference.

    Missing values are left out, not filled as `filled_means` does: what fills would move the mean
    and the deviation that all stretches are measured by, and how wrong they then are is not known.

    Parameters
    ----------
    rows
        Shape (n, d), in spreads of single rows; NaN is missing.
    window_rows
        Length of a window, 2 to n.

    Returns
    -------
    features
        Shape (n - window_rows + 1, d * segments), the stretches of a sensor side by side, the
        oldest first; NaN where fewer than half of the sensor's window is present, and in a stretch
        without any value.
    counts
        Same shape: how many values of the sensor's window were present.

    Examples
    --------
    >>> rise, _ = shapes(np.array([[0.0], [1.0], [2.0], [3.0]]), 4)
    >>> higher, _ = shapes(np.array([[50.0], [60.0], [70.0], [80.0]]), 4)
    >>> rise.round(2), bool(np.allclose(rise, higher))
    (array([[-1.34, -0.45,  0.45,  1.34]]), True)
    """
    present = (~np.isnan(rows)).astype(np.float64)
    filled = np.nan_to_num(rows)
    n = len(rows) - window_rows + 1
    segments = segments_of(window_rows)
    counts = windowed_sums(present, window_rows)
    enough = 2 * counts >= window_rows
    divisor = np.maximum(counts, 1.0)
    mean = windowed_sums(filled, window_rows) / divisor
    variance = windowed_sums(np.square(filled), window_rows) / divisor - np.square(mean)
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0.0)), FLAT)
    edges = np.linspace(0, window_rows, segments + 1).round().astype(np.int64)
    features = np.empty((n, rows.shape[1], segments))
    for index, (start, stop) in enumerate(pairwise(edges.tolist())):
        own = slice(start, start + n)
        length = stop - start
        known = windowed_sums(present, length)[own]
        level = windowed_sums(filled, length)[own] / np.maximum(known, 1.0)
        form = (level - mean) / deviation
        features[:, :, index] = np.where(enough & (known > 0), form, np.nan)
    return features.reshape(n, rows.shape[1] * segments), np.repeat(counts, segments, axis=1)
