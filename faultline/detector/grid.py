"""Puts rows on the time grid of the usual step: a row that was dropped is one with no value.

A window is as long as the load cycle. Counted in rows, it would hold one phase twice for every row
that was dropped. NumPy only; it knows times and rows, no detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.smoothing import filled_means
from faultline.detector.window import rows_since_gap

REGULAR_SHARE = 0.9
"""A machine has a grid if so many of its steps are nearer to the usual one than to none or two."""

_ROWS_AT_ONCE = 8192


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


def grid_step_ms(histories: Sequence[MachineHistory], step_ms: int, max_gap_ms: int) -> int:
    """Return `step_ms` if every machine's rows mostly come at that step, and 0 otherwise.

    Longer steps than `max_gap_ms` are gaps and say nothing of it.

    Examples
    --------
    >>> rows = np.zeros((12, 1))
    >>> even = MachineHistory("even", np.append(np.arange(11) * 100, 1_200), rows)
    >>> grid_step_ms([even], 100, 1_000)
    100
    >>> odd = MachineHistory("odd", np.cumsum(np.tile([100, 230], 6)), rows)
    >>> grid_step_ms([even, odd], 100, 1_000)
    0
    """
    for history in histories:
        steps = np.diff(history.timestamps_ms)
        taken = _steps_taken(steps[steps <= max_gap_ms], step_ms)
        if np.count_nonzero(taken == 1) < REGULAR_SHARE * len(taken):
            return 0
    return step_ms


def is_uneven(histories: Sequence[MachineHistory], step_ms: int) -> bool:
    """Whether any machine dropped a row, or had a gap."""
    return any(
        has_dropped(int(np.diff(history.timestamps_ms).max(initial=0)), step_ms)
        for history in histories
    )


class Grid(NamedTuple):
    """Rows on the grid.

    Attributes
    ----------
    rows
        Shape (g, d): NaN where no row came.
    since_gap
        Shape (g,): as `rows_since_gap` counts, rows that did not come included.
    place
        Shape (n,): where each of the rows is in `rows`; strictly increasing.
    """

    rows: NDArray[np.float64]
    since_gap: NDArray[np.int64]
    place: NDArray[np.int64]


def on_grid(
    rows: NDArray[np.float64], timestamps_ms: NDArray[np.int64], step_ms: int, max_gap_ms: int
) -> Grid:
    """Put rows where their times say; over a gap, which no window reaches, without a space.

    A row is where the steps since the row before it say, rounded. Where one came late, and those
    after it on time, less than half a step apart, it is moved back to before them. An extra row,
    between two that were on time, has a place of its own.

    Parameters
    ----------
    rows
        Shape (n, d), at least one.
    timestamps_ms
        Shape (n,), strictly increasing.
    step_ms
        The usual step; 0 to put row after row, whatever the times are.
    max_gap_ms
        A longer step is a gap.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> on_grid(rows, np.array([0, 10, 31, 40]), 10, 50).rows.ravel()
    array([ 1.,  2., nan,  3.,  4.])
    >>> on_grid(rows, np.array([0, 10, 26, 30]), 10, 50).rows.ravel()
    array([1., 2., 3., 4.])
    """
    if len(rows) < 2 or not has_dropped(int(np.diff(timestamps_ms).max()), step_ms):
        place = np.arange(len(rows), dtype=np.int64)
        return Grid(rows, rows_since_gap(timestamps_ms, max_gap_ms), place)
    places = _places(timestamps_ms, step_ms, max_gap_ms)
    return _stretch(rows, places, 0, int(places.place[-1]) + 1)


def has_dropped(longest_ms: int, step_ms: int) -> bool:
    """Whether the longest of some steps is too long by half a usual one; never if that is 0."""
    return 2 * longest_ms >= 3 * step_ms > 0


def _steps_taken(steps_ms: NDArray[np.int64], step_ms: int) -> NDArray[np.int64]:
    return (2 * steps_ms + step_ms) // (2 * step_ms)


class _Places(NamedTuple):
    """Where n rows are on the grid, shape (n,), and where it begins or begins anew, shape (g,)."""

    place: NDArray[np.int64]
    starts: NDArray[np.int64]


def _places(timestamps_ms: NDArray[np.int64], step_ms: int, max_gap_ms: int) -> _Places:
    steps = np.diff(timestamps_ms)
    is_gap = steps > max_gap_ms
    place = np.arange(len(timestamps_ms), dtype=np.int64)
    if len(steps) and has_dropped(int(steps.max()), step_ms):
        excess = np.zeros_like(place)
        np.cumsum(np.where(is_gap, 1, _steps_taken(steps, step_ms)) - 1, out=excess[1:])
        # No row is later than its place by the rows after it.
        excess = np.minimum.accumulate(excess[::-1])[::-1]
        place += excess - excess[0]
    return _Places(place, np.concatenate((place[:1], place[1:][is_gap])))


def _stretch(rows: NDArray[np.float64], places: _Places, begin: int, end: int) -> Grid:
    """The places of the grid from `begin` up to, not including, `end`; none is before the first."""
    first, last = np.searchsorted(places.place, (begin, end)).tolist()
    place = places.place[first:last] - begin
    placed = np.full((end - begin, rows.shape[1]), np.nan)
    placed[place] = rows[first:last]
    position = np.arange(begin, end, dtype=np.int64)
    start = places.starts[np.searchsorted(places.starts, position, side="right") - 1]
    return Grid(placed, np.maximum(position - start + 1, 0), place)


@dataclass(frozen=True, eq=False)
class Filling:
    """How the windows of a machine are averaged that is filled from one window before.

    Attributes
    ----------
    window_rows
        Length of a window.
    max_gap_ms
        A longer step is a gap.
    step_ms
        Of the grid; 0 where rows count as they come.
    change
        Shape (d,), in spreads of single rows: see `filled_means`.
    """

    window_rows: int
    max_gap_ms: int
    step_ms: int
    change: NDArray[np.float64]

    @property
    def rows_needed(self) -> int:
        """How many rows before the first one to judge change its mean."""
        return 2 * self.window_rows - 1

    def has_dropped(self, longest_ms: int) -> bool:
        """Whether a row was dropped, where the longest step was so long."""
        return has_dropped(longest_ms, self.step_ms)

    def means(
        self, rows: NDArray[np.float64], timestamps_ms: NDArray[np.int64], first: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means of the windows that end at each row from `first` on, by the rows up to it.

        Parameters
        ----------
        rows, timestamps_ms
            Shapes (n, d), scaled, and (n,).
        first
            At least `rows_needed` are before it, or all there are.

        Returns
        -------
        means, counts
            Shape (n - first, d): as `filled_means` gives them; where fewer than half of a window's
            rows came, NaN and 0.
        """
        n = len(rows)
        edges = [*range(first, n, _ROWS_AT_ONCE), n]
        steps = np.diff(timestamps_ms)
        if n > 1 and self.has_dropped(int(steps.max())):
            # A row that comes soon after another may move those before it back, which the windows
            # that ended there did not know.
            soon = 1 + np.flatnonzero(_steps_taken(steps, self.step_ms) == 0)
            edges = sorted({*edges, *soon[soon > first].tolist()})
        parts = []
        for start, stop in pairwise(edges):
            part = slice(max(0, start - self.rows_needed), stop)
            parts.append(self._means(rows[part], timestamps_ms[part], start - part.start))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([part[0] for part in parts]), np.concatenate(
            [part[1] for part in parts]
        )

    def _means(
        self, rows: NDArray[np.float64], timestamps_ms: NDArray[np.int64], first: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n, d = rows.shape
        w, needed, half = self.window_rows, self.rows_needed, (self.window_rows + 1) // 2
        if first >= needed and not self.has_dropped(int(np.diff(timestamps_ms).max(initial=0))):
            known = slice(first - needed, n)
            since_gap = rows_since_gap(timestamps_ms, self.max_gap_ms)[known]
            return filled_means(rows[known], w, self.change, since_gap)
        means, counts = np.full((n - first, d), np.nan), np.zeros((n - first, d))
        # Windows with fewer than half of their rows have no mean, and would make a large grid of a
        # machine that sends at a lower rate than in training.
        places = _places(timestamps_ms, self.step_ms, self.max_gap_ms)
        place = places.place
        wanted = np.arange(max(first, half - 1), n)
        wanted = wanted[place[wanted] - place[wanted - half + 1] < w]
        apart = 1 + np.flatnonzero(np.diff(place[wanted]) > needed)
        for own in np.split(wanted, apart) if len(wanted) else ():
            begin, end = int(place[own[0]]), int(place[own[-1]]) + 1
            grid = _stretch(rows, places, begin - needed, end)
            mean, count = filled_means(grid.rows, w, self.change, grid.since_gap)
            means[own - first] = mean[place[own] - begin]
            counts[own - first] = count[place[own] - begin]
        return means, counts
