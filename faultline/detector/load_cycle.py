"""Chooses how long a window is, from the load cycle, and whether dropped rows count in it.

NumPy only. It must not know what a window is good for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector.config import FitConfig
from faultline.detector.grid import Grid, grid_step_ms, is_uneven, on_grid
from faultline.detector.history import MachineHistory
from faultline.detector.period import find_period
from faultline.detector.scale import robust_scale
from faultline.detector.smoothing import WORTH_FILLING, lagged_change, scaled, window_means
from faultline.detector.training import row_scale

_OUTLYING = 10.0
"""Before a period is looked for, values are drawn in to so many scales from the median."""

_SHORTEST_CYCLE = 4
"""Fewer rows show no course of a load: it may as well be the sampling that alternates."""


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


def window_and_grid(
    histories: Sequence[MachineHistory], config: FitConfig, step_ms: int
) -> tuple[WindowChoice, int]:
    """Choose the window, and the step of the grid that it lies on or 0 where rows are counted.

    Parameters
    ----------
    histories
        With usable sensors only.
    config
        How.
    step_ms
        The usual step.
    """
    gap_ms = step_ms * config.max_gap_steps
    longest = _longest_window(histories, config)

    def chosen(on_step_ms: int) -> WindowChoice:
        if config.window_rows is None:
            return choose_window(histories, gap_ms, on_step_ms, longest, config.default_window_rows)
        reason = f"{config.window_rows} rows, as asked for"
        return WindowChoice(config.window_rows, None, reason)

    counted = chosen(0)
    grid_ms = grid_step_ms(histories, step_ms, gap_ms)
    if config.shape or not grid_ms:
        return counted, 0
    placed = chosen(grid_ms) if is_uneven(histories, grid_ms) else counted
    if is_clearer_on_grid(
        histories,
        step_ms * max(config.max_gap_steps, placed.rows, counted.rows),
        grid_ms,
        placed_rows=placed.rows,
        counted_rows=counted.rows,
    ):
        return placed, grid_ms
    return counted, 0


def _longest_window(histories: Sequence[MachineHistory], config: FitConfig) -> int:
    """The longest window with which every stretch that is held out still holds two of them."""
    longest = max(len(history.values) for history in histories)
    return max(2, min(config.max_window_rows, longest // (2 * config.held_out_blocks)))


def choose_window(
    histories: Sequence[MachineHistory],
    max_gap_ms: int,
    step_ms: int,
    max_rows: int,
    fallback_rows: int,
) -> WindowChoice:
    """Choose the window from the load cycle: a mean over whole cycles does not swing with it.

    A short cycle is taken several times, up to the first multiple of at least `fallback_rows`.

    Parameters
    ----------
    histories
        With usable sensors only.
    max_gap_ms
        A longer step is a gap, over which no cycle is looked for.
    step_ms
        Of the grid on which it is looked for: see `grid_step_ms`.
    max_rows
        The longest period looked for.
    fallback_rows
        The window when nothing repeats.
    """
    centre, scale = robust_scale(np.concatenate([history.values for history in histories]))
    segments: list[NDArray[np.float64]] = []
    for history in histories:
        units = np.clip(scaled(history.values, centre, scale), -_OUTLYING, _OUTLYING)
        grid = on_grid(units, history.timestamps_ms, step_ms, max_gap_ms)
        segments += np.split(grid.rows, np.flatnonzero(grid.since_gap == 1)[1:])
    period = find_period(segments, max_rows)
    if period is None:
        reason = f"no load cycle of up to {max_rows} rows found; {fallback_rows} rows by default"
        return WindowChoice(fallback_rows, None, reason)
    cycles = -(-fallback_rows // period)
    if cycles * period > max_rows:
        cycles = 1
    if period < _SHORTEST_CYCLE:
        often = f"{cycles} times" if cycles > 1 else "once"
        reason = f"the values repeat every {period} rows, {often} in a window"
    elif cycles == 1:
        reason = f"one load cycle of {period} rows"
    else:
        reason = f"{cycles} load cycles of {period} rows"
    return WindowChoice(cycles * period, period, reason)


def is_clearer_on_grid(
    histories: Sequence[MachineHistory],
    max_gap_ms: int,
    step_ms: int,
    *,
    placed_rows: int,
    counted_rows: int,
) -> bool:
    """Say whether dropped rows should count in a window, because a load cycle shows it so.

    They should where the rows differ more within a window than from those a window before, as in
    a load cycle and not where a sensor is slow, and where the latter differ no more on the grid
    than if rows are counted. Where only the clock skips, since it is coarse and the usual step a
    little longer than its unit, they differ more.

    Parameters
    ----------
    histories
        With usable sensors only.
    max_gap_ms
        A longer step is a gap.
    step_ms
        Of the grid, positive.
    placed_rows, counted_rows
        Length of a window on the grid and if rows are counted.
    """
    centre, spread = row_scale(histories)
    units = [
        np.clip(scaled(history.values, centre, spread), -_OUTLYING, _OUTLYING)
        for history in histories
    ]

    def grids(on_step_ms: int) -> list[Grid]:
        return [
            on_grid(rows, history.timestamps_ms, on_step_ms, max_gap_ms)
            for rows, history in zip(units, histories, strict=True)
        ]

    placed = grids(step_ms)
    change = _change(placed, placed_rows)
    is_cyclic = (change < WORTH_FILLING) & (change < _deviation_within(placed, placed_rows))
    if not (is_cyclic.any() and is_uneven(histories, step_ms)):
        return bool(is_cyclic.any())
    counted = _change(grids(0), counted_rows)
    return bool(change[is_cyclic].sum() <= counted[is_cyclic].sum())


def _change(grids: Sequence[Grid], window_rows: int) -> NDArray[np.float64]:
    """Mean size of what a row differs from the one a window before; shape (d,), inf if unknown."""
    return _mean_or_inf(
        [np.abs(lagged_change(grid.rows, window_rows, grid.since_gap)) for grid in grids]
    )


def _deviation_within(grids: Sequence[Grid], window_rows: int) -> NDArray[np.float64]:
    """Mean standard deviation within a window; shape (d,), inf if unknown."""
    deviations = []
    for grid in grids:
        if len(grid.rows) >= window_rows:
            mean, _ = window_means(grid.rows, window_rows)
            square, _ = window_means(grid.rows**2, window_rows)
            whole = grid.since_gap[window_rows - 1 :] >= window_rows
            deviations.append(np.sqrt(np.maximum(square - mean**2, 0.0))[whole])
    return _mean_or_inf(deviations or [np.empty((0, grids[0].rows.shape[1]))])


def _mean_or_inf(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    rows = np.concatenate(parts)
    seen = ~np.isnan(rows)
    count = seen.sum(axis=0)
    total = np.where(seen, rows, 0.0).sum(axis=0)
    mean = np.full(rows.shape[1], np.inf)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
