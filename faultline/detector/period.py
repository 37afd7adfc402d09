"""Finds the load cycle that a machine repeats. NumPy only; knows nothing of clusters or scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLEAR_PEAK = 0.5
"""A sensor repeats a cycle when its autocorrelation comes back to this, ..."""

CLEAR_RISE = 0.3
"""... and rises by this from the lowest point on the way: a slow sensor never falls that far."""

FUNDAMENTAL_SHARE = 0.95
"""The shortest lag whose peak reaches this part of the highest one is the period: its multiples
are as high, and noise decides among them."""

_CYCLES_SEEN = 3
_ROWS_LOOKED_AT = 20_000
_CHUNK = 64


def find_period(segments: Sequence[NDArray[np.float64]], max_period_rows: int) -> int | None:
    """Find the dominant period of rows without gaps, in rows.

    The autocorrelation of every sensor is taken, by FFT (Wiener-Khinchin), of its values less
    their running mean over twice `max_period_rows`, since what is slower than that is a trend.
    The sensors that repeat clearly are averaged; the highest peak wins, or the shortest one that
    is nearly as high.

    Parameters
    ----------
    segments
        Arrays of shape (n_i, d) without gaps in time, scaled and freed of outliers; NaN is
        missing. Those that are shorter than three of the longest periods count for the periods
        they hold three of.
    max_period_rows
        The longest period looked for.

    Returns
    -------
    int or None
        Period in rows, at least 2; None when no sensor repeats clearly.

    Examples
    --------
    >>> time = np.arange(600)
    >>> cycle = np.column_stack((np.sin(2 * np.pi * time / 45), time / 600))
    >>> find_period([cycle], 120)
    45
    >>> find_period([np.random.default_rng(0).normal(size=(600, 2))], 120) is None
    True
    """
    longest = sorted(segments, key=len, reverse=True)
    taken: list[NDArray[np.float64]] = []
    left = _ROWS_LOOKED_AT
    for segment in longest:
        rows = segment[: max(left, 0)]
        if len(rows) >= 2 * _CYCLES_SEEN:
            taken.append(rows)
            left -= len(rows)
    if not taken:
        return None
    lags = min(max_period_rows, len(taken[0]) // _CYCLES_SEEN) + 1
    correlation = _autocorrelation(taken, lags, trend_rows=2 * max_period_rows)
    return _dominant(correlation)


def _autocorrelation(
    segments: Sequence[NDArray[np.float64]], lags: int, trend_rows: int
) -> NDArray[np.float64]:
    """Autocorrelation per sensor, shape (d, lags + 1), over all segments that reach the lag."""
    d = segments[0].shape[1]
    products = np.zeros((d, lags + 1))
    pairs = np.zeros(lags + 1)
    for segment in segments:
        reach = min(lags, len(segment) // _CYCLES_SEEN + 1)
        pairs[: reach + 1] += len(segment) - np.arange(reach + 1)
        for start in range(0, d, _CHUNK):
            part = slice(start, start + _CHUNK)
            rows = _without_trend(np.nan_to_num(segment[:, part]), trend_rows)
            size = 1 << (len(rows) + lags).bit_length()
            spectrum = np.fft.rfft(rows, size, axis=0)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            products[part, : reach + 1] += np.fft.irfft(power, size, axis=0)[: reach + 1].T
    covariance = products / np.maximum(pairs, 1.0)
    variance = covariance[:, :1]
    moves = variance > 1e-9
    correlation: NDArray[np.float64] = np.where(moves, covariance, 0.0) / np.where(
        moves, variance, 1.0
    )
    return correlation


def _without_trend(rows: NDArray[np.float64], trend_rows: int) -> NDArray[np.float64]:
    """Rows less their centred running mean, which near an end is made of what there is."""
    n = len(rows)
    half = min(trend_rows // 2, n)
    sums = np.vstack((np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)))
    low = np.maximum(np.arange(n) - half, 0)
    high = np.minimum(np.arange(n) + half + 1, n)
    trend: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)[:, np.newaxis]
    return rows - trend


def _dominant(correlation: NDArray[np.float64]) -> int | None:
    lowest = np.minimum.accumulate(correlation, axis=1)
    is_clear = (correlation >= CLEAR_PEAK) & (correlation - lowest >= CLEAR_RISE)
    repeats = (is_clear & _is_peak(correlation)).any(axis=1)
    if not repeats.any():
        return None
    pooled = correlation[repeats].mean(axis=0, keepdims=True)
    peaks = np.flatnonzero(_is_peak(pooled)[0])
    if not peaks.size:
        return None
    heights = pooled[0, peaks]
    if heights.max() < CLEAR_PEAK:
        # Sensors that repeat each at its own pace have no period in common.
        return None
    return int(peaks[heights >= FUNDAMENTAL_SHARE * heights.max()][0])


def _is_peak(correlation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each lag is higher than its neighbours; the first two and the last never are."""
    peak = np.zeros(correlation.shape, dtype=np.bool_)
    inner = correlation[:, 2:-1]
    peak[:, 2:-1] = (inner > correlation[:, 1:-2]) & (inner >= correlation[:, 3:])
    return peak
