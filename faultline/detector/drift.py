"""Tells sensors that drift slowly from those that hold a level. NumPy only.

Knows no clusters and no boundary: it compares what held-out rows deviate with how much the same
sensor changes in a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SLOW_RATIO = 3.0
"""A sensor is slow when it deviates by so many times its short-term changes. For white noise the
ratio is 1."""

WIDENING = 2.0
"""A slow sensor's scale is so many times as wide: even after its level has been tracked, it is less
alike from one time to another than those that hold a level."""

_WORST_SHARE = 0.2

_CONSISTENCY = 1.37
"""Turns the root mean square of the lower four of five normal deviations into that of all."""


def held_out_deviation(
    deviation: NDArray[np.float64], groups: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Root mean square deviation of every sensor over held-out blocks, found without the worst.

    One bad block, such as a warm-up, says nothing of how a sensor usually behaves, so the worst
    fifth is left out and made up for as if the blocks' deviations were normal.

    Parameters
    ----------
    deviation
        Shape (n, d): of held-out windows from the nearest cluster; NaN where missing.
    groups
        Rows of each block.

    Returns
    -------
    ndarray
        Shape (d,), in the units of `deviation`; 0 for a sensor that is in no block.

    Examples
    --------
    >>> blocks = [np.array([0]), np.array([1]), np.array([2]), np.array([3]), np.array([4])]
    >>> held_out_deviation(np.array([[1.0], [-1.0], [1.0], [1.0], [99.0]]), blocks)
    array([1.37])
    """
    squares = np.array([_mean_square(deviation[group]) for group in groups])
    ordered = np.sort(squares, axis=0)  # NaN last
    present = np.isfinite(ordered).sum(axis=0)
    kept = present - np.floor(_WORST_SHARE * present).astype(np.int64)
    taken = np.arange(len(ordered))[:, np.newaxis] < kept
    total = np.where(taken, np.nan_to_num(ordered), 0.0).sum(axis=0)
    root: NDArray[np.float64] = np.sqrt(total / np.maximum(kept, 1))
    return np.where(kept < present, _CONSISTENCY * root, root)


def short_term_deviation(
    means: NDArray[np.float64], machine: NDArray[np.int64], row: NDArray[np.int64], lag: int
) -> NDArray[np.float64]:
    """Root mean square change between windows that don't overlap but touch, over root two.

    The mean square successive difference of von Neumann, 1941, "Distribution of the ratio of the
    mean square successive difference to the variance", Ann. Math. Stat. 12.

    Parameters
    ----------
    means
        Shape (n, d): window means, machine after machine in time order.
    machine, row
        Shape (n,): whose, and the row at which the window ends.
    lag
        Length of a window.
    """
    later, earlier = slice(lag, None), slice(None, -lag)
    touching = (machine[later] == machine[earlier]) & (row[later] - row[earlier] == lag)
    change = (means[later] - means[earlier])[touching]
    root: NDArray[np.float64] = np.sqrt(_mean_square(change) / 2)
    return np.nan_to_num(root)


def slow_sensors(
    held_out: NDArray[np.float64], short_term: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which sensors drift, shape (d,).

    >>> slow_sensors(np.array([1.0, 8.0]), np.array([1.0, 2.0]))
    array([False,  True])
    """
    return held_out > SLOW_RATIO * short_term


def widening_of(slow: NDArray[np.bool_]) -> NDArray[np.float64]:
    """By what each sensor's scale is multiplied: 1 unless it is slow. Shape (d,)."""
    return np.where(slow, WIDENING, 1.0)


def _mean_square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    present = np.isfinite(values)
    count = present.sum(axis=0)
    total = np.square(np.where(present, values, 0.0)).sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
