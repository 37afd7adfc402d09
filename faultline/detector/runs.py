"""Finds runs: flags set on end, values that repeat. NumPy only; knows no sensor and no limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def have_held(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a value equals the one before it, or one of the two is missing; same shapes."""
    changed: NDArray[np.bool_] = before != after
    changed &= np.isfinite(before)
    changed &= np.isfinite(after)
    return np.logical_not(changed, out=changed)


def has_stretch(flags: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Say which columns of flags (N, d) have `length` set on end, at least 3; shape (d,)."""
    # Such a stretch has two neighbours in it of which the first is at a multiple of its length
    # less one: few columns are left after looking at those alone.
    first, second = flags[: -1 : length - 1], flags[1 :: length - 1]
    found: NDArray[np.bool_] = np.asarray((first & second).any(axis=0))
    if found.any():
        column = np.flatnonzero(found)
        held, covered = flags[:, column], 1
        while covered < length:
            step = min(covered, length - covered)
            held = held[:-step] & held[step:]
            covered += step
        found[column] = held.any(axis=0)
    return found


def repeats(rows: NDArray[np.float64], limit: int, reach: int) -> NDArray[np.bool_]:
    """Whether the last `limit` values present are equal and within reach; rows (N,) -> (N,)."""
    repeated = np.zeros(len(rows), dtype=np.bool_)
    at = np.flatnonzero(np.isfinite(rows))
    if len(at) >= limit:
        present = rows[at]
        changes = np.zeros(len(at), dtype=np.int64)
        np.cumsum(present[1:] != present[:-1], out=changes[1:])
        first, last = slice(None, len(at) - limit + 1), slice(limit - 1, None)
        is_run = (changes[first] == changes[last]) & (at[last] - at[first] < reach)
        repeated[at[last][is_run]] = True
    return repeated


def lasts(flags: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Whether the last `limit` flags are all set; flags (N,) -> (N,)."""
    lasting = np.zeros(len(flags), dtype=np.bool_)
    if len(flags) >= limit:
        count = np.zeros(len(flags) + 1, dtype=np.int64)
        np.cumsum(flags, out=count[1:])
        lasting[limit - 1 :] = count[limit:] - count[:-limit] == limit
    return lasting


def longest_stretch(flags: NDArray[np.bool_]) -> int:
    """Length of the longest stretch of set flags, shape (N,)."""
    ends = np.flatnonzero(np.concatenate(([True], ~flags, [True])))
    return int(np.diff(ends).max()) - 1
