"""Tracks the level of slow sensors, so that they are judged by how they jump. NumPy only.

A level moves at fixed rows of a machine's stream, by that row alone, so it does not depend on how
the stream is cut; and it does not depend on scores, so a drift that goes on during an alarm leaves
no false one behind. Where it moves as fast as it may, it follows what may be a fault, and keeps in
mind where it came from: a sensor that returns there is well at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = 1 / 3
"""By which part of the way to a window's mean the level moves: it looks back over some three
windows (exponential smoothing)."""

_ORDINARY_MOVES = 0.99


@dataclass(frozen=True, eq=False)
class TrackingRule:
    """Which sensors are tracked, and how fast.

    Attributes
    ----------
    step_rows
        The level moves at every so many-th row of a machine.
    speed
        Shape (d,), in scales: the most that it moves at one step; 0 for a sensor that is not
        tracked. A jump stays to be seen for as long as drift would need to explain it.
    """

    step_rows: int
    speed: NDArray[np.float64]

    @property
    def active(self) -> bool:
        """Whether any sensor is tracked."""
        return bool(self.speed.any())


@dataclass(frozen=True, eq=False)
class Tracked:
    """Levels of n rows.

    Attributes
    ----------
    levels
        Shape (s, d): what is to be taken off; 0 for sensors that are not tracked, NaN for those
        whose level is not known yet.
    level_of
        Shape (n,), int64: which of them is a row's.
    after
        Shape (2, d): the level after the last row, and where it was when it last moved by less than
        it may.
    """

    levels: NDArray[np.float64]
    level_of: NDArray[np.int64]
    after: NDArray[np.float64]


def unknown_levels(speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels of a machine that begins, shape (2, d): not known where tracked, 0 elsewhere."""
    return np.tile(np.where(speed > 0, np.nan, 0.0), (2, 1))


def track(
    rule: TrackingRule,
    level: NDArray[np.float64],
    *,
    rows_before: int,
    means: NDArray[np.float64],
    judged: NDArray[np.bool_],
    begins_anew: NDArray[np.bool_],
) -> Tracked:
    """Track the levels through the next rows of a machine.

    Parameters
    ----------
    rule
        See there.
    level
        Shape (2, d): as `Tracked.after`, before these rows.
    rows_before
        How many rows the machine had before.
    means
        Shape (n, d): window means; NaN is missing.
    judged
        Shape (n,), bool: rows with enough to be judged. The first of them that has any tracked
        sensor is the first level; a sensor that comes later gets its level at a step.
    begins_anew
        Shape (n,), bool: rows of a window that begins, or begins anew after a gap. What the level
        was then says nothing any more.

    Examples
    --------
    >>> rule = TrackingRule(step_rows=2, speed=np.array([0.5]))
    >>> means = np.array([[3.0], [3.0], [9.0], [9.0], [9.0]])
    >>> every = np.ones(5, dtype=bool)
    >>> tracked = track(
    ...     rule, unknown_levels(rule.speed), rows_before=0, means=means, judged=every,
    ...     begins_anew=~every)
    >>> (means - tracked.levels[tracked.level_of]).ravel()
    array([0. , 0. , 6. , 6. , 5.5])

    A fault that lasts is followed as far as drift might have come; the end of it is seen at the
    next step, however far that was:

    >>> means = np.array([[3.0]] * 2 + [[9.0]] * 12 + [[3.0]] * 4)
    >>> every = np.ones(18, dtype=bool)
    >>> tracked = track(
    ...     rule, unknown_levels(rule.speed), rows_before=0, means=means, judged=every,
    ...     begins_anew=~every)
    >>> (means - tracked.levels[tracked.level_of]).ravel()[-6:]
    array([ 3.5,  3.5, -3. , -3. ,  0. ,  0. ])
    """
    n = len(means)
    level, origin = level
    levels = [level]
    level_of = np.zeros(n, dtype=np.int64)
    is_tracked = rule.speed > 0
    is_step = (rows_before + np.arange(n)) % rule.step_rows == rule.step_rows - 1
    can_begin = np.flatnonzero(judged & np.isfinite(means[:, is_tracked]).any(axis=1))
    turns = np.flatnonzero(begins_anew | (judged & is_step))
    row = 0
    while True:
        if np.isnan(level[is_tracked]).all():
            row = _next(can_begin, row, n)
            if row < n:
                level = _filled(level, means[row])
                origin = _filled(origin, level)
                levels.append(level)
                level_of[row:] = len(levels) - 1
        row = _next(turns, row, n)
        if row >= n:
            return Tracked(np.array(levels), level_of, np.array((level, origin)))
        if begins_anew[row]:
            level, origin = unknown_levels(rule.speed)
            levels.append(level)
            level_of[row:] = len(levels) - 1
        else:
            now = _filled(level, means[row])
            level, origin = _moved(rule, now, _filled(origin, now), means[row])
            levels += [now, level]
            level_of[row] = len(levels) - 2
            level_of[row + 1 :] = len(levels) - 1
        row += 1


def _moved(
    rule: TrackingRule,
    level: NDArray[np.float64],
    origin: NDArray[np.float64],
    mean: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Level and origin after a step whose window has the mean; shape (d,) each."""
    move = SHARE * np.nan_to_num(mean - level)
    return_ = SHARE * np.nan_to_num(mean - origin)
    is_chasing = np.abs(move) > rule.speed
    is_back = is_chasing & (np.abs(return_) <= rule.speed)
    level = np.where(is_back, origin + return_, level + np.clip(move, -rule.speed, rule.speed))
    return level, np.where(is_chasing & ~is_back, origin, level)


def _next(rows: NDArray[np.int64], at_least: int, n: int) -> int:
    """Find the first of some ascending rows that is not before another; n if there is none."""
    position = int(np.searchsorted(rows, at_least))
    return int(rows[position]) if position < len(rows) else n


def _filled(level: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels, and where one is not known yet the mean of the window at hand."""
    return np.where(np.isnan(level), mean, level)


def ordinary_speed(
    levels: list[NDArray[np.float64]], is_slow: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How fast levels that were tracked without a limit moved, shape (d,): the 99 % quantile.

    Parameters
    ----------
    levels
        Per machine, shape (s_i, d), one row per step.
    is_slow
        Shape (d,), bool: the sensors that are tracked; the others get 0.
    """
    moves = np.concatenate([np.abs(np.diff(level, axis=0)) for level in levels])
    moves = np.where(np.isfinite(moves), moves, np.nan)
    speed = np.zeros(len(is_slow))
    for column in np.flatnonzero(is_slow):
        known = moves[np.isfinite(moves[:, column]), column]
        speed[column] = np.quantile(known, _ORDINARY_MOVES) if known.size else 0.0
    # A sensor that hardly moves is tracked all the same, or it would count as one that is not.
    return np.where(is_slow, np.maximum(speed, np.finfo(np.float64).tiny), 0.0)
