"""Tells a sick sensor from a sick machine: values that are missing, stuck, silent or implausible.

NumPy only, and a pure function of raw rows. It must not know scores, clusters or alarms: what is
merely abnormal is the score's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.history import MachineHistory
from faultline.detector.runs import has_stretch, lasts, longest_stretch, pairs_held, repeats

REACH_ROWS = 120
"""A verdict rests on its own row and those before it, so many together."""

LEAST_ROWS = 10
"""Nothing is called stuck or silent before so many rows."""

_LEAST_PAIRS = LEAST_ROWS - 1

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

    def to_arrays(self) -> dict[str, NDArray[np.float64 | np.int64]]:
        """Return the limits by name, for an npz file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float64 | np.int64]]) -> HealthLimits:
        """Build the limits that `to_arrays` gave; ValueError when they can't be."""
        absent = [field.name for field in fields(cls) if field.name not in arrays]
        if absent:
            raise ValueError(f"the health limits lack {', '.join(absent)}")
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})  # type: ignore[arg-type]


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
    limits: HealthLimits, carried: NDArray[np.float64], values: NDArray[np.float64]
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

    Examples
    --------
    >>> limits = HealthLimits(
    ...     np.array([-10.0]), np.array([10.0]), np.array([1]), np.array([0]))
    >>> rows = np.array([[0.3]] * 10 + [[99.0], [np.nan]])
    >>> health = check_health(limits, carried=rows[:8], values=rows[8:])
    >>> np.flatnonzero(health.stuck), np.flatnonzero(health.out_of_range)
    (array([1]), array([2]))
    """
    carried = carried[len(carried) - min(len(carried), limits.rows_needed) :]
    masks = np.zeros((4, *values.shape), dtype=np.bool_)
    missing, stuck, out_of_range, silent = masks
    health = Health(missing, stuck, out_of_range, silent)
    if not values.size:
        return health
    least, most = _extremes(values)
    # NaN fails every comparison, so this is False where a value is missing as well.
    whole = bool(((least >= limits.low) & (most <= limits.high)).all())
    if not whole:
        finite = np.isfinite(values)
        np.logical_not(finite, out=missing)
        np.logical_or(values < limits.low, values > limits.high, out=out_of_range)
        out_of_range &= finite
    if len(carried) + len(values) < LEAST_ROWS:
        return health

    begin = len(carried)
    suspect = _may_be_stuck(carried, values, None if whole else missing)
    if suspect.any():
        for column in np.flatnonzero(suspect & (limits.stuck_after <= REACH_ROWS)):
            rows = np.concatenate((carried[:, column], values[:, column]))
            stuck[:, column] = repeats(rows, int(limits.stuck_after[column]), REACH_ROWS)[begin:]
    if not whole:
        suspect = _may_be_silent(carried, missing)
        for column in np.flatnonzero(suspect & (limits.silent_after <= REACH_ROWS)):
            gone = np.concatenate((~np.isfinite(carried[:, column]), missing[:, column]))
            silent[:, column] = lasts(gone, int(limits.silent_after[column]))[begin:]
    return health


def _extremes(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest of each column; NaN where there is one.

    Rows are laid side by side first: NumPy goes down narrow columns several times as slowly.
    """
    n, d = values.shape
    if n == 1:
        return values[0], values[0]
    side_by_side = max(1, 512 // d)
    whole = n - n % side_by_side
    if whole >= 2 * side_by_side:
        wide = values[:whole].reshape(-1, side_by_side * d)
        least, most = wide.min(axis=0).reshape(-1, d), wide.max(axis=0).reshape(-1, d)
        return (
            np.concatenate((least, values[whole:])).min(axis=0),
            np.concatenate((most, values[whole:])).max(axis=0),
        )
    return values.min(axis=0), values.max(axis=0)


def _may_be_stuck(
    carried: NDArray[np.float64],
    values: NDArray[np.float64],
    missing: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Say in which columns `LEAST_ROWS` rows up to a new one are equal or missing; shape (d,)."""
    recent = carried[-_LEAST_PAIRS:]
    if len(values) == 1:
        return np.asarray(((recent == values) | ~np.isfinite(recent)).all(axis=0))
    seam = np.concatenate((recent, values[:_LEAST_PAIRS]))
    found = has_stretch(pairs_held(seam, ~np.isfinite(seam)), _LEAST_PAIRS)
    if len(values) > _LEAST_PAIRS:
        found |= has_stretch(pairs_held(values, missing), _LEAST_PAIRS)
    return found


def _may_be_silent(carried: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say in which columns `LEAST_ROWS` rows up to a new one are missing; shape (d,)."""
    seam = np.concatenate((~np.isfinite(carried[-_LEAST_PAIRS:]), missing[:_LEAST_PAIRS]))
    return has_stretch(seam, LEAST_ROWS) | has_stretch(missing, LEAST_ROWS)
