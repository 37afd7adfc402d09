"""Turns machines' histories into one table of window means to learn from. NumPy only.

It decides which sensors can be used and how long a window is; it knows nothing of clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faultline.detector.copies import Likeness, Signature, compare, signature
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.period import find_period
from faultline.detector.scale import PRECISION_SHARE, median, robust_scale, winsorised_std
from faultline.detector.shape import shapes
from faultline.detector.smoothing import (
    WORTH_FILLING,
    filled_means,
    lagged_change,
    scaled,
    window_means,
)
from faultline.detector.tracking import (
    Tracked,
    TrackingRule,
    ordinary_speed,
    track,
    unknown_levels,
)
from faultline.detector.window import rows_since_gap

_OUTLYING = 10.0
"""Before a period is looked for, values are drawn in to so many scales from the median."""

_DIFFERENCE = {Likeness.EQUAL: "", Likeness.AFFINE: " but for scale and offset"}


@dataclass(frozen=True)
class WindowChoice:
    """How long a window is and why.

    Attributes
    ----------
    rows
        Its length.
    period_rows
        The load cycle found; None when there is none or it was not looked for.
    reason
        One sentence for a person.
    """

    rows: int
    period_rows: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class WindowTable:
    """The full windows of all machines, machine after machine, each in time order.

    Attributes
    ----------
    machine
        Shape (n,): index into the histories.
    row
        Shape (n,): the machine's row that the window ends at.
    timestamps_ms
        Shape (n,): the time of that row.
    means
        Shape (n, d): window means, less `centre` and divided by `spread`; NaN is missing.
    counts
        Shape (n, d): values present per window; where some were filled, what the mean is worth.
    centre, spread
        Shape (d,): median and winsorised standard deviation of single rows, in raw units.
    change
        Shape (d,), in spreads: how far a row is from the one a window before it; see
        `filled_means`. Of the shape (0,) where no sensor's missing values are filled.
    """

    machine: NDArray[np.int64]
    row: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    change: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    def present_sensors(self) -> NDArray[np.bool_]:
        """Whether each sensor is present in any window, shape (d,)."""
        present: NDArray[np.bool_] = ~np.isnan(self.means)
        return np.asarray(present.any(axis=0))

    def rows(self, keep: NDArray[np.bool_]) -> WindowTable:
        """Take the windows marked in `keep`, shape (n,)."""
        return replace(
            self,
            machine=self.machine[keep],
            row=self.row[keep],
            timestamps_ms=self.timestamps_ms[keep],
            means=self.means[keep],
            counts=self.counts[keep],
        )

    def columns(self, keep: NDArray[np.bool_]) -> WindowTable:
        """Take the sensors marked in `keep`, shape (d,)."""
        return replace(
            self,
            means=self.means[:, keep],
            counts=self.counts[:, keep],
            centre=self.centre[keep],
            spread=self.spread[keep],
            change=self.change[keep] if self.change.size else self.change,
        )


def without_levels(
    table: WindowTable, is_slow: NDArray[np.bool_], window_rows: int
) -> tuple[WindowTable, NDArray[np.float64]]:
    """Take the levels of slow sensors off the windows, as scoring does.

    Parameters
    ----------
    table
        All windows.
    is_slow
        Shape (d,), bool: which sensors are tracked.
    window_rows
        Length of a window.

    Returns
    -------
    table
        The same windows without the levels.
    speed
        Shape (d,), in spreads: how fast each level was found to move at most.
    """
    own = [np.flatnonzero(table.machine == index) for index in np.unique(table.machine)]
    free = np.where(is_slow, np.inf, 0.0)
    levels = [_tracked(table, rows, free, window_rows) for rows in own]
    speed = ordinary_speed([tracked.levels for tracked in levels], is_slow)
    means = table.means.copy()
    for rows in own:
        tracked = _tracked(table, rows, speed, window_rows)
        means[rows] -= tracked.levels[tracked.level_of]
    return replace(table, means=means), speed


def _tracked(
    table: WindowTable, rows: NDArray[np.int64], speed: NDArray[np.float64], window_rows: int
) -> Tracked:
    """Track one machine's windows, in the places that they have in its history."""
    first = int(table.row[rows[0]])
    place = table.row[rows] - first
    means = np.full((int(place[-1]) + 1, table.means.shape[1]), np.nan)
    means[place] = table.means[rows]
    judged = np.zeros(len(means), dtype=np.bool_)
    judged[place] = True
    # Where so many windows in a row are absent, there was a gap.
    absent = np.concatenate(([0], np.cumsum(~judged)))
    within = absent[1:] - absent[np.maximum(np.arange(len(means)) + 2 - window_rows, 0)]
    begins_anew = ~judged & (within >= max(1, window_rows - 1))
    rule = TrackingRule(window_rows, speed)
    found = track(
        rule,
        unknown_levels(speed),
        rows_before=first,
        means=means,
        judged=judged,
        begins_anew=begins_anew,
    )
    return replace(found, level_of=found.level_of[place])


def unusable_sensors(sensors: Sequence[str], histories: Sequence[MachineHistory]) -> dict[str, str]:
    """Name the sensors that can't be learnt from, each with the reason.

    Those with no value, with one value only, present in less than half of the rows, or the same
    as one before them: its copy would count every deviation twice, and since each sensor is
    centred and scaled by its own values, one in other units is the same copy.
    """
    reasons: dict[str, str] = {}
    rows = sum(len(history.values) for history in histories)
    originals: dict[int, Signature] = {}
    for column, name in enumerate(sensors):
        values = _column(histories, column)
        present = values[np.isfinite(values)]
        if not present.size:
            reasons[name] = "all values are missing"
        elif np.ptp(present) <= PRECISION_SHARE * np.abs(present).max():
            reasons[name] = f"constant: always {present[0]:g}"
        elif 2 * present.size < rows:
            missing = 100 * (1 - present.size / rows)
            reasons[name] = f"missing in {missing:.0f} % of the rows"
        else:
            own = signature(values)
            original = _original(values, own, originals, histories)
            if original is None:
                originals[column] = own
            else:
                reasons[name] = f"the same as {sensors[original[0]]}{original[1]}"
    return reasons


def _original(
    values: NDArray[np.float64],
    own: Signature,
    originals: Mapping[int, Signature],
    histories: Sequence[MachineHistory],
) -> tuple[int, str] | None:
    """Find the column that `values` are a copy of, and what is different all the same."""
    for column, signature_ in originals.items():
        if own.may_match(signature_):
            likeness = compare(_column(histories, column), values)
            if likeness is not None:
                return column, _DIFFERENCE[likeness]
    return None


def _column(histories: Sequence[MachineHistory], column: int) -> NDArray[np.float64]:
    return np.concatenate([history.values[:, column] for history in histories])


def median_step_ms(histories: Sequence[MachineHistory]) -> int:
    """Find the median time between two rows of a machine, at least 1.

    Raises
    ------
    UnfitHistory
        When no machine has two rows.
    """
    steps = np.concatenate([np.diff(history.timestamps_ms) for history in histories])
    if not steps.size:
        raise UnfitHistory("no machine has two rows; send more history")
    return max(1, round(float(np.median(steps))))


def choose_window(
    histories: Sequence[MachineHistory], max_gap_ms: int, max_rows: int, fallback_rows: int
) -> WindowChoice:
    """Choose the window from the load cycle: a mean over whole cycles does not swing with it.

    A short cycle is taken several times, up to the first multiple of at least `fallback_rows`.

    Parameters
    ----------
    histories
        With usable sensors only.
    max_gap_ms
        A longer step is a gap, over which no cycle is looked for.
    max_rows
        The longest period looked for.
    fallback_rows
        The window when nothing repeats.
    """
    centre, scale = robust_scale(np.concatenate([history.values for history in histories]))
    segments = [
        np.clip(segment, -_OUTLYING, _OUTLYING)
        for history in histories
        for segment in np.split(
            scaled(history.values, centre, scale),
            np.flatnonzero(np.diff(history.timestamps_ms) > max_gap_ms) + 1,
        )
    ]
    period = find_period(segments, max_rows)
    if period is None:
        reason = f"no load cycle of up to {max_rows} rows found; {fallback_rows} rows by default"
        return WindowChoice(fallback_rows, None, reason)
    cycles = -(-fallback_rows // period)
    if cycles == 1 or cycles * period > max_rows:
        return WindowChoice(period, period, f"one load cycle of {period} rows")
    return WindowChoice(cycles * period, period, f"{cycles} load cycles of {period} rows")


def row_scale(
    histories: Sequence[MachineHistory],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and spread of single rows, shape (d,) each, in the sensors' own units."""
    rows = np.concatenate([history.values for history in histories])
    centre = median(rows)
    return centre, np.maximum(winsorised_std(rows), PRECISION_SHARE * np.abs(centre))


def window_table(
    histories: Sequence[MachineHistory], window_rows: int, max_gap_ms: int, *, shape: bool = False
) -> WindowTable:
    """Smooth every machine as scoring does and put the windows that can be scored in one table.

    Left out are windows across a gap and those with fewer than half of the sensors. With `shape`
    the columns are the stretches of the normalised windows: see `shapes`.
    """
    centre, spread = row_scale(histories)
    units = [scaled(history.values, centre, spread) for history in histories]
    since_gap = [rows_since_gap(history.timestamps_ms, max_gap_ms) for history in histories]
    change = np.zeros(0) if shape else _change(units, window_rows, since_gap)
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    means: list[NDArray[np.float64]] = []
    counts: list[NDArray[np.float64]] = []
    for index, history in enumerate(histories):
        if len(history.values) < window_rows:
            continue
        if shape:
            mean, count = shapes(units[index], window_rows)
        else:
            mean, count = _means(units[index], window_rows, change, since_gap[index])
        ends = np.arange(window_rows - 1, len(history.values), dtype=np.int64)
        whole = since_gap[index][ends] >= window_rows
        enough = 2 * (~np.isnan(mean)).sum(axis=1) >= mean.shape[1]
        keep = whole & enough
        ends = ends[keep]
        parts.append((np.full(len(ends), index), ends, history.timestamps_ms[ends]))
        means.append(mean[keep])
        counts.append(count[keep])
    if not means:
        longest = max(len(history.values) for history in histories)
        raise UnfitHistory(
            f"no machine has the {window_rows} rows of one window (the longest history has "
            f"{longest}); send more history"
        )
    if shape:
        # The forms have no unit; the rows' own scale is of no further use here.
        centre, spread = np.zeros(means[0].shape[1]), np.ones(means[0].shape[1])
    return WindowTable(
        machine=np.concatenate([part[0] for part in parts]),
        row=np.concatenate([part[1] for part in parts]),
        timestamps_ms=np.concatenate([part[2] for part in parts]),
        means=np.concatenate(means),
        counts=np.concatenate(counts),
        centre=centre,
        spread=spread,
        change=change,
    )


def _change(
    units: Sequence[NDArray[np.float64]],
    window_rows: int,
    since_gap: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Learn how far a row is from the one a window before it, in spreads.

    Shape (d,), or (0,) where no sensor comes back near enough for its missing values to be filled.
    """
    apart = np.concatenate(
        [
            lagged_change(rows, window_rows, since)
            for rows, since in zip(units, since_gap, strict=True)
        ]
    )
    change = np.ones(apart.shape[1])
    seen = np.isfinite(apart).any(axis=0)
    if seen.any():
        change[seen] = winsorised_std(apart[:, seen])
    return change if (change < WORTH_FILLING).any() else np.zeros(0)


def _means(
    units: NDArray[np.float64],
    window_rows: int,
    change: NDArray[np.float64],
    since_gap: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not (change.size and np.isnan(units).any()):
        return window_means(units, window_rows)
    return filled_means(
        np.concatenate((np.full((window_rows, units.shape[1]), np.nan), units)),
        window_rows,
        change,
        np.concatenate((np.zeros(window_rows, dtype=np.int64), since_gap)),
    )
