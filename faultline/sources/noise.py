"""Noise that belongs to a moment: any span of the same series, however it is cut, is the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Rows that are drawn together. A span is cut from whole chunks, so cuts cannot change it.
CHUNK_ROWS = 4_096


def generator(*key: int) -> np.random.Generator:
    """Make the random generator that belongs to a key of non-negative integers."""
    return np.random.default_rng(key)


def white_noise(key: tuple[int, ...], chunk: int, columns: int) -> FloatArray:
    """Draw a chunk of independent standard normal values, shape (CHUNK_ROWS, columns)."""
    # One up: the chunk before the epoch is drawn too, and keys are not negative.
    return generator(*key, chunk + 1).standard_normal((CHUNK_ROWS, columns))


def correlated_noise(key: tuple[int, ...], chunk: int, columns: int, rows: float) -> FloatArray:
    """Draw a chunk of noise that remembers itself.

    White noise through a causal exponential filter, cut off after five time constants: an AR(1)
    process in effect, which unlike a recursion can be computed from any row on.

    Parameters
    ----------
    rows
        Time constant: after so many rows the autocorrelation is 1/e. At most a fifth of a chunk.

    Returns
    -------
    ndarray of shape (CHUNK_ROWS, columns)
        Standard deviation 1.
    """
    taps = np.exp(-np.arange(int(5 * rows) + 1) / rows)
    taps /= np.sqrt(np.sum(taps**2))
    memory = len(taps) - 1
    before = white_noise(key, chunk - 1, columns)[CHUNK_ROWS - memory :]
    drawn = np.vstack([before, white_noise(key, chunk, columns)])
    return np.column_stack([np.convolve(column, taps, mode="valid") for column in drawn.T])
