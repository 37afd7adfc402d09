"""Turns machines' histories into one table of window means to learn from. NumPy only.

It knows nothing of clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faultline.detector.grid import Filling, on_grid
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.scale import PRECISION_SHARE, median, winsorised_std
from faultline.detector.shape import shapes
from faultline.detector.smoothing import WORTH_FILLING, lagged_change, scaled, window_means
from faultline.detector.tracking import (
    Tracked,
    TrackingRule,
    ordinary_speed,
    track,
    unknown_levels,
)
from faultline.detector.window import rows_since_gap


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


def row_scale(
    histories: Sequence[MachineHistory],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and spread of single rows, shape (d,) each, in the sensors' own units."""
    rows = np.concatenate([history.values for history in histories])
    centre = median(rows)
    return centre, np.maximum(winsorised_std(rows), PRECISION_SHARE * np.abs(centre))


def window_table(
    histories: Sequence[MachineHistory],
    window_rows: int,
    max_gap_ms: int,
    step_ms: int,
    *,
    shape: bool = False,
) -> WindowTable:
    """Smooth every machine as scoring does and put the windows that can be scored in one table.

    Left out are windows across a gap and those with fewer than half of the sensors.

    Parameters
    ----------
    histories
        With usable sensors only.
    window_rows
        Length of a window.
    max_gap_ms
        A longer step is a gap.
    step_ms
        Of the grid, where missing values are filled: see `grid_step_ms`.
    shape
        The columns are the stretches of the normalised windows: see `shapes`.
    """
    centre, spread = row_scale(histories)
    units = [scaled(history.values, centre, spread) for history in histories]
    times = [history.timestamps_ms for history in histories]
    filling = None if shape else _filling(units, times, window_rows, max_gap_ms, step_ms)
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    means: list[NDArray[np.float64]] = []
    counts: list[NDArray[np.float64]] = []
    for index, history in enumerate(histories):
        if len(history.values) < window_rows:
            continue
        if shape:
            mean, count = shapes(units[index], window_rows)
        elif filling is None:
            mean, count = window_means(units[index], window_rows)
        else:
            mean, count = filling.means(units[index], times[index], window_rows - 1)
        ends = np.arange(window_rows - 1, len(history.values), dtype=np.int64)
        whole = rows_since_gap(times[index], max_gap_ms)[ends] >= window_rows
        enough = 2 * (~np.isnan(mean)).sum(axis=1) >= mean.shape[1]
        keep = whole & enough
        ends = ends[keep]
        parts.append((np.full(len(ends), index), ends, times[index][ends]))
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
        change=np.zeros(0) if filling is None else filling.change,
    )


def _filling(
    units: Sequence[NDArray[np.float64]],
    times: Sequence[NDArray[np.int64]],
    window_rows: int,
    max_gap_ms: int,
    step_ms: int,
) -> Filling | None:
    """Learn how far a row is from the one a window before it, in spreads.

    None where no sensor comes back near enough for its missing values to be filled.
    """
    grids = [on_grid(rows, at, step_ms, max_gap_ms) for rows, at in zip(units, times, strict=True)]
    apart = np.concatenate(
        [lagged_change(grid.rows, window_rows, grid.since_gap) for grid in grids]
    )
    change = np.ones(apart.shape[1])
    seen = np.isfinite(apart).any(axis=0)
    if seen.any():
        change[seen] = winsorised_std(apart[:, seen])
    if (change < WORTH_FILLING).any():
        return Filling(window_rows, max_gap_ms, step_ms, change)
    return None
