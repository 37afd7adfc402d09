"""Turns a machine's raw rows into what is judged: scaled window means, and whether they suffice.

NumPy only. It must not know clusters, distances or boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.distance import rows_at_once
from faultline.detector.grid import Filling
from faultline.detector.scores import RowState
from faultline.detector.shape import shapes
from faultline.detector.smoothing import scaled, window_means, windowed_sums
from faultline.detector.window import Window, rows_since_gap

_MOST_ROWS = 2**31


@dataclass(frozen=True, eq=False)
class Scaling:
    """From the sensors' own units to scales from the centre; shape (d,) each.

    Attributes
    ----------
    centre, scale
        In the sensors' own units.
    low, high
        In scales: what is beyond counts as this.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def apply(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
        """Scale rows (n, d); also say whether for certain none is missing or beyond the limits."""
        n = len(rows)
        if not n:
            return rows.copy(), True
        low, high = self._inner
        centre, scale = self._in_rows
        with np.errstate(over="ignore", invalid="ignore"):
            units = rows - (centre[:n] if n <= len(centre) else self.centre)
            units /= scale[:n] if n <= len(scale) else self.scale
            # NaN and infinite values fail this as well. NumPy finds where the least is sooner than
            # what it is.
            if low < units.item(units.argmin()) and units.item(units.argmax()) < high:
                return units, True
        return scaled(rows, self.centre, self.scale, self.low, self.high), False

    @cached_property
    def _inner(self) -> tuple[float, float]:
        """What lies between these is within the limits of every sensor."""
        return float(self.low.max()), float(self.high.min())

    @cached_property
    def _in_rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre and scale for many rows: arrays of one shape take half the time."""
        rows = 2 * rows_at_once(len(self.centre))
        return np.tile(self.centre, (rows, 1)), np.tile(self.scale, (rows, 1))


class Prepared(NamedTuple):
    """Rows as they are judged.

    Attributes
    ----------
    means, counts
        Shape (n, d): as `window_means` gives them.
    state
        Shape (n,), int8: a `RowState` each.
    is_complete
        Whether every row has a full window of which nothing is missing.
    is_sound
        Whether for certain no row was dropped, and no value of the rows is missing or out of its
        sensor's range.
    """

    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    state: NDArray[np.int8]
    is_complete: bool
    is_sound: bool


@dataclass(frozen=True, eq=False)
class Preparation:
    """How the rows of a machine are prepared, whatever machine it is.

    Attributes
    ----------
    window_rows
        How many rows are averaged.
    max_gap_ms
        A longer silence starts the window anew.
    scaling
        Of the rows; in the shape view, of the forms.
    filling
        How what is missing is filled; None where nothing is, as in the shape view.
    forms
        Scaling of the rows in the shape view; None where window means are judged.
    """

    window_rows: int
    max_gap_ms: int
    scaling: Scaling
    filling: Filling | None
    forms: Scaling | None = None

    def prepare(self, window: Window, n: int) -> Prepared:
        """Prepare the last n rows of a window."""
        if self.forms is not None:
            return self._formed(self.forms, window, n)
        d, w, first = len(window.sensors), self.window_rows, len(window) - n
        longest_ms = self._longest_step_ms(window, n)
        is_even = self.filling is None or not self.filling.has_dropped(longest_ms)
        means = np.empty((n, d))
        counts = self._full_counts[:n]
        missing = None
        step = self._rows_at_once
        for start in range(0, n, step):
            part = slice(start, start + step)
            rows = _rows(window, first + start - w + 1, first + min(n, start + step))
            units, is_complete = self.scaling.apply(rows)
            if is_complete and is_even:
                np.divide(windowed_sums(units, w), self._divisor, out=means[part])
                continue
            if missing is None:
                counts, missing = counts.copy(), np.zeros(n, dtype=np.int64)
            if self.filling is None:
                means[part], counts[part] = window_means(units, w)
            else:
                means[part], counts[part] = self._filled_means(
                    self.filling, window, first + start, first + min(n, start + step)
                )
            missing[part] = np.isnan(means[part]).sum(axis=1)
        state = np.zeros(n, dtype=np.int8)
        if missing is not None:
            state[2 * missing > d] = RowState.INSUFFICIENT
        is_warm = self._is_warm(window, n, longest_ms)
        if is_warm is not None:
            state[~is_warm] = RowState.WARMING_UP
        is_sound = missing is None
        return Prepared(means, counts, state, is_sound and is_warm is None, is_sound)

    def _filled_means(
        self, filling: Filling, window: Window, first: int, stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means of the windows that end at the rows from `first` to `stop`.

        One window more is looked back over, so that holes are filled and their lengths are known
        however the rows are cut.
        """
        known = slice(max(0, first - filling.rows_needed), stop)
        units, _ = self.scaling.apply(window.values[known])
        return filling.means(units, window.timestamps_ms[known], first - known.start)

    def _formed(self, rows: Scaling, window: Window, n: int) -> Prepared:
        units, _ = rows.apply(_rows(window, len(window) - n - self.window_rows + 1, len(window)))
        forms, counts = shapes(units, self.window_rows)
        means, _ = self.scaling.apply(forms)
        missing = np.isnan(means).sum(axis=1)
        state = np.zeros(n, dtype=np.int8)
        state[2 * missing > means.shape[1]] = RowState.INSUFFICIENT
        is_warm = self._is_warm(window, n, self._longest_step_ms(window, n))
        if is_warm is not None:
            state[~is_warm] = RowState.WARMING_UP
        is_whole = bool((counts == self.window_rows).all())
        return Prepared(means, counts, state, is_warm is None and is_whole, False)

    @cached_property
    def _rows_at_once(self) -> int:
        return max(rows_at_once(len(self.scaling.centre)), 2 * self.window_rows)

    @cached_property
    def _divisor(self) -> NDArray[np.float64]:
        return np.array(float(self.window_rows))  # NumPy takes an array sooner than a number

    @cached_property
    def _full_counts(self) -> NDArray[np.float64]:
        """As many rows as one may ask for; they take no memory."""
        return np.broadcast_to(float(self.window_rows), (_MOST_ROWS, len(self.scaling.centre)))

    def _longest_step_ms(self, window: Window, n: int) -> int:
        """Of the steps within the windows that end at the last n rows; 0 where there is none."""
        times = window.timestamps_ms[max(0, len(window) - n - self.window_rows + 1) :]
        steps = times[1:] - times[:-1]
        return steps.item(steps.argmax()) if len(steps) else 0

    def _is_warm(self, window: Window, n: int, longest_ms: int) -> NDArray[np.bool_] | None:
        """Which rows have a window's rows since the start or the last gap; None for all."""
        first = len(window) - n - self.window_rows + 1
        if first >= 0 and longest_ms <= self.max_gap_ms:
            return None
        times = window.timestamps_ms[max(0, first) :]
        return rows_since_gap(times, self.max_gap_ms)[len(times) - n :] >= self.window_rows


def _rows(window: Window, start: int, stop: int) -> NDArray[np.float64]:
    """Rows of a window, those before its first one missing."""
    if start >= 0:
        return window.values[start:stop]
    before = np.full((min(0, stop) - start, len(window.sensors)), np.nan)
    return np.concatenate((before, window.values[: max(0, stop)]))
