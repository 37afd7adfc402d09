"""Robust centre and scale of columns with missing values. NumPy only; knows no machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAD_TO_STD = 1.4826
"""Turns the median absolute deviation of normal data into its standard deviation."""

STD_SHARE = 0.1
"""A scale is at least this part of the winsorised standard deviation: a sensor that rests most of
the time must not turn its every movement into an alarm."""

PRECISION_SHARE = 1e-9
"""What varies by less than this part of its size varies by rounding only."""

_TAIL = 0.01


def median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median per column (n, d) -> (d,) of what is present; NaN is missing.

    >>> median(np.array([[1.0], [np.nan], [3.0]]))
    array([2.])
    """
    # Where nothing is missing, the plain one is several times as fast.
    missing = np.isnan(values).any()
    middle: NDArray[np.float64] = (np.nanmedian if missing else np.median)(values, axis=0)
    return middle


def winsorised_std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation per column, after what is beyond the outer 1 % is drawn in to it.

    A column that is constant but for rarer values keeps its plain standard deviation, since
    there the rare is all that varies.

    Parameters
    ----------
    values
        Shape (n, d), at most 1e100 in size; NaN is missing, but no column is all missing.

    Returns
    -------
    ndarray
        Shape (d,); 0 only for a constant column.

    Examples
    --------
    >>> column = np.array([[0.0, 1.0] * 200 + [1e6]]).T
    >>> winsorised_std(column).round(2)
    array([0.5])
    """
    quantile = np.nanquantile if np.isnan(values).any() else np.quantile
    low, high = quantile(values, (_TAIL, 1 - _TAIL), axis=0)
    std: NDArray[np.float64] = np.nanstd(np.clip(values, low, high), axis=0)
    constant = high <= low
    if constant.any():
        std[constant] = np.nanstd(values[:, constant], axis=0)
    return std


def robust_scale(
    values: NDArray[np.float64], least: float = np.finfo(np.float64).tiny
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median, and a standard deviation that outliers don't move.

    The scale is 1.4826 times the median absolute deviation (Hampel, 1974, "The influence curve
    and its role in robust estimation", JASA 69), and at least `STD_SHARE` of the winsorised
    standard deviation; where more than half of the values are equal, it is that whole deviation.

    Parameters
    ----------
    values
        Shape (n, d); NaN is missing, but no column is all missing.
    least
        No scale is smaller.

    Returns
    -------
    centre, scale
        Shape (d,) each; every scale is positive.

    Examples
    --------
    >>> centre, scale = robust_scale(np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]]))
    >>> centre[0], bool(scale[0] < 200)
    (np.float64(3.0), True)
    """
    centre: NDArray[np.float64] = median(values)
    mad = median(np.abs(values - centre))
    std = winsorised_std(values)
    scale = np.where(mad > 0, np.maximum(MAD_TO_STD * mad, STD_SHARE * std), std)
    return centre, np.maximum(scale, np.maximum(PRECISION_SHARE * np.abs(centre), least))
