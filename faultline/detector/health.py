"""Tells a sick sensor from a sick machine: values that are missing, stuck, silent or implausible.

NumPy only, and a pure function of raw rows. It must not know scores, clusters or alarms: what is
merely abnormal is the score's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.history import MachineHistory
from faultline.detector.runs import (
    has_stretch,
    have_held,
    lasts,
    longest_stretch,
    repeats,
)

REACH_ROWS = 120
"""A verdict rests on its own row and those before it, so many together."""

LEAST_ROWS = 10
"""Nothing is called stuck or silent before so many rows."""

PATIENCE = 3
"""Stuck or silent is what lasts so many times as long as it ever did in training.

Where neighbours are equal by chance, the longest run in n rows is about log n / log(1/p) long
(Erdos and Renyi, 1970, "On a new law of large numbers", J. Analyse Math. 23). A run of three times
that length comes once in n cubed rows, however coarse the sensor is."""

MARGIN = 10.0
"""The range ends so many sizes beyond what was seen; a size is the larger of the range seen and the
largest value. Transmitters are chosen so that ordinary running fills a good part of their span, so
one that works cannot show ten times what it ever did; a pressure that doubles, or a vibration that
is six times that of a good machine (zone D of ISO 20816), is well inside."""

_MOST_ROWS = 2**31
_EDGE = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class HealthLimits:
    """What is ordinary for each sensor, as its training showed.

    Attributes
    ----------
    low, high
        Shape (d,): the range beyond which a value is not plausible, in the sensor's own units.
    longest_run
        Shape (d,), int64: the most equal values in a row.
    longest_silence
        Shape (d,), int64: the most rows in a row without a value.

    Raises
    ------
    ValueError
        When the parts do not fit together or hold values that cannot be.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    longest_run: NDArray[np.int64]
    longest_silence: NDArray[np.int64]

    def __post_init__(self) -> None:
        for field in fields(self):
            array: NDArray[np.float64 | np.int64] = getattr(self, field.name)
            kind = np.float64 if field.name in ("low", "high") else np.int64
            if array.dtype != kind or array.shape != (len(self.low),):
                raise ValueError(
                    f"{field.name} is {array.dtype} of the shape {array.shape}; must be "
                    f"{np.dtype(kind)} of {(len(self.low),)}"
                )
        if not (np.isfinite(self.low) & np.isfinite(self.high) & (self.low <= self.high)).all():
            raise ValueError("every range must be finite and not end before it begins")
        if (self.longest_run < 0).any() or (self.longest_silence < 0).any():
            raise ValueError("no longest_run and no longest_silence can be negative")

    @property
    def rows_needed(self) -> int:
        """How many rows before the first one to judge change its verdict."""
        return REACH_ROWS - 1

    @cached_property
    def stuck_after(self) -> NDArray[np.int64]:
        """After how many equal values a sensor is stuck; above `REACH_ROWS` never. Shape (d,)."""
        return np.maximum(LEAST_ROWS, PATIENCE * self.longest_run)

    @cached_property
    def silent_after(self) -> NDArray[np.int64]:
        """After how many rows without a value it is silent; above `REACH_ROWS` never."""
        return np.maximum(LEAST_ROWS, PATIENCE * self.longest_silence)


class Health(NamedTuple):
    """What is wrong with the value of each sensor in each row: bool masks of the shape (n, d).

    Missing and silent may both hold; stuck and out of range hold for values that are present.

    Attributes
    ----------
    missing
        The row has no finite value of the sensor.
    stuck
        The value is the same as before, and has been for longer than training ever showed.
    out_of_range
        The value is not plausible: more likely a broken transmitter than a machine that fails.
    silent
        No value for longer than training ever showed, while rows of the machine went on.
    """

    missing: NDArray[np.bool_]
    stuck: NDArray[np.bool_]
    out_of_range: NDArray[np.bool_]
    silent: NDArray[np.bool_]


def learn_limits(sensors: Sequence[str], histories: Sequence[MachineHistory]) -> HealthLimits:
    """Learn what is ordinary for each sensor from the machines' raw rows.

    Parameters
    ----------
    sensors
        Names of the columns of every history's values.
    histories
        One per machine. What is not finite is missing.

    Returns
    -------
    HealthLimits
        A sensor without any value gets the widest range.

    Examples
    --------
    >>> values = np.array([[1.0], [1.0], [3.0], [np.nan], [3.0]])
    >>> limits = learn_limits(["flow"], [MachineHistory("m", 1000 * np.arange(5), values)])
    >>> limits.low, limits.high, limits.longest_run, limits.longest_silence
    (array([-29.]), array([33.]), array([2]), array([1]))
    """
    d = len(sensors)
    low, high = np.full(d, -_EDGE), np.full(d, _EDGE)
    longest_run, longest_silence = np.zeros((2, d), dtype=np.int64)
    for column in range(d):
        least, most = np.inf, -np.inf
        for history in histories:
            values = np.ascontiguousarray(history.values[:, column])
            is_present = np.isfinite(values)
            present = values[is_present]
            silence = longest_stretch(~is_present)
            longest_silence[column] = max(longest_silence[column], silence)
            if present.size:
                run = 1 + longest_stretch(present[1:] == present[:-1])
                longest_run[column] = max(longest_run[column], run)
                least, most = min(least, present.min()), max(most, present.max())
        if least <= most:
            margin = MARGIN * max(most - least, abs(least), abs(most))
            low[column], high[column] = least - margin, most + margin
    return HealthLimits(low, high, longest_run, longest_silence)


def check_health(
    limits: HealthLimits,
    carried: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    is_sound: bool = False,
) -> Health:
    """Judge each value of some rows by the rows before it.

    However the rows are cut into calls the verdicts are the same, if at least
    `limits.rows_needed` rows are carried, or all there were.

    A sensor is called stuck after `PATIENCE` times its longest run of equal values in training,
    and at least `LEAST_ROWS`. A missing value neither breaks nor lengthens a run. One whose
    limit does not fit into `REACH_ROWS` holds its value in ordinary running (a set point, a
    counter, a slow or coarse sensor) and is never called stuck. The same goes for silence.

    Parameters
    ----------
    limits
        What is ordinary.
    carried
        Shape (m, d): the machine's raw rows before these, oldest first.
    values
        Shape (n, d): the rows to judge, in the sensors' own units. What is not finite is missing.
    is_sound
        Whether it is known already that no value is missing or out of its range.

    Examples
    --------
    >>> limits = HealthLimits(
    ...     np.array([-10.0]), np.array([10.0]), np.array([1]), np.array([0]))
    >>> rows = np.array([[0.3]] * 10 + [[99.0], [np.nan]])
    >>> health = check_health(limits, carried=rows[:8], values=rows[8:])
    >>> np.flatnonzero(health.stuck), np.flatnonzero(health.out_of_range)
    (array([1]), array([2]))
    """
    carried = carried[-limits.rows_needed :]
    missing = out_of_range = stuck = silent = nowhere(*values.shape)
    if not is_sound:
        finite = np.isfinite(values)
        missing = ~finite
        out_of_range = finite & ((values < limits.low) | (values > limits.high))
        silent = _silent(limits, carried, missing)
    columns = _held(carried, values)
    if columns is not None:
        stuck = _stuck(limits, carried, values, columns)
    return Health(missing, stuck, out_of_range, silent)


def is_anywhere(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask is set anywhere. For one of `nowhere` it need not be looked through.

    >>> is_anywhere(nowhere(10, 2)), is_anywhere(np.array([[False, True]]))
    (False, True)
    """
    return any(mask.strides) and bool(np.count_nonzero(mask))


def nowhere(n: int, d: int) -> NDArray[np.bool_]:
    """Give a mask (n, d) that is set nowhere. It takes no memory and can't be written to."""
    return _unset(d)[:n]


@lru_cache(maxsize=64)
def _unset(d: int) -> NDArray[np.bool_]:
    return np.broadcast_to(np.False_, (_MOST_ROWS, d))


def _stuck(
    limits: HealthLimits,
    carried: NDArray[np.float64],
    values: NDArray[np.float64],
    columns: NDArray[np.int64],
) -> NDArray[np.bool_]:
    stuck = np.zeros(values.shape, dtype=np.bool_)
    for column in columns[limits.stuck_after[columns] <= REACH_ROWS]:
        rows = np.concatenate((carried[:, column], values[:, column]))
        own = repeats(rows, int(limits.stuck_after[column]), REACH_ROWS)
        stuck[:, column] = own[len(carried) :]
    return stuck


def _held(carried: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Which columns have `LEAST_ROWS` rows up to a new one that are all equal or missing."""
    n, d = values.shape
    if len(carried) + n < LEAST_ROWS or not n:
        return None
    # Of so many pairs of neighbours, one ends at the first new row or at a multiple beyond it.
    step = LEAST_ROWS - 1
    held = have_held(carried[-1], values[0]) if len(carried) else np.zeros(d, dtype=np.bool_)
    if n > step:
        held |= have_held(values[step - 1 : -1 : step], values[step::step]).any(axis=0)
    if not np.count_nonzero(held):
        return None
    columns = np.flatnonzero(held)
    rows = np.concatenate((carried[-step:, columns], values[:, columns]))
    return columns[has_stretch(have_held(rows[:-1], rows[1:]), step)]


def _silent(
    limits: HealthLimits, carried: NDArray[np.float64], missing: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    silent = np.zeros(missing.shape, dtype=np.bool_)
    before = ~np.isfinite(carried[1 - LEAST_ROWS :])
    seam = np.concatenate((before, missing[: LEAST_ROWS - 1]))
    suspect = has_stretch(seam, LEAST_ROWS) | has_stretch(missing, LEAST_ROWS)
    for column in np.flatnonzero(suspect & (limits.silent_after <= REACH_ROWS)):
        gone = np.concatenate((~np.isfinite(carried[:, column]), missing[:, column]))
        silent[:, column] = lasts(gone, int(limits.silent_after[column]))[len(carried) :]
    return silent
