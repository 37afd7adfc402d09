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
from faultline.detector.scores import RowState
from faultline.detector.shape import shapes
from faultline.detector.smoothing import filled_means, scaled, window_means, windowed_sums
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
        """Scale rows (n, d); also say whether for certain nothing of them is missing."""
        if not rows.size:
            return rows.copy(), True
        low, high = self._inner
        with np.errstate(over="ignore", invalid="ignore"):
            units = rows - self.centre
            units /= self.scale
            # NaN and infinite values fail this as well.
            if (
                np.minimum.reduce(units, axis=None) >= low
                and np.maximum.reduce(units, axis=None) <= high
            ):
                return units, True
        return scaled(rows, self.centre, self.scale, self.low, self.high), False

    @cached_property
    def _inner(self) -> tuple[float, float]:
        """What lies between these is within the limits of every sensor."""
        return float(self.low.max()), float(self.high.min())


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
    """

    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    state: NDArray[np.int8]
    is_complete: bool


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
    change
        Shape (d,), in spreads of single rows: see `filled_means`. Of the shape (0,) where no
        missing value is filled, as in the shape view.
    forms
        Scaling of the rows in the shape view; None where window means are judged.
    """

    window_rows: int
    max_gap_ms: int
    scaling: Scaling
    change: NDArray[np.float64]
    forms: Scaling | None = None

    def prepare(
        self, window: Window, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Prepared:
        """Prepare the rows that follow a window: times (n,) and values (n, d)."""
        if self.forms is not None:
            return self._formed(self.forms, window, timestamps_ms, values)
        n, d = values.shape
        w = self.window_rows
        reach = _reach(window, w - 1)
        means = np.empty((n, d))
        counts = self._full_counts[:n]
        missing = None
        step = max(rows_at_once(d), 2 * w)
        for start in range(0, n, step):
            stop = min(n, start + step)
            rows = (
                values[start - w + 1 : stop]
                if start >= w - 1
                else np.concatenate((reach[start:], values[:stop]))
            )
            units, is_complete = self.scaling.apply(rows)
            if is_complete:
                np.divide(windowed_sums(units, w), w, out=means[start:stop])
                continue
            if missing is None:
                counts, missing = counts.copy(), np.zeros(n, dtype=np.int64)
            if self.change.size:
                means[start:stop], counts[start:stop] = self._filled_means(
                    units, window, timestamps_ms, values, start
                )
            else:
                means[start:stop], counts[start:stop] = window_means(units, w)
            missing[start:stop] = np.isnan(means[start:stop]).sum(axis=1)
        state = np.zeros(n, dtype=np.int8)
        if missing is not None:
            state[2 * missing > d] = RowState.INSUFFICIENT
        is_warm = self._is_warm(window, timestamps_ms)
        if is_warm is not None:
            state[~is_warm] = RowState.WARMING_UP
        return Prepared(means, counts, state, missing is None and is_warm is None)

    def _filled_means(
        self,
        units: NDArray[np.float64],
        window: Window,
        timestamps_ms: NDArray[np.int64],
        values: NDArray[np.float64],
        start: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means of the windows that end at the rows from `start` on, whose rows are `units`.

        One window more is looked back over, so that holes are filled and their lengths are known
        however the rows are cut. `start` is 0 or at least two windows.
        """
        w = self.window_rows
        if not np.isnan(units).any():
            return window_means(units, w)
        carried = min(2 * w - 1, len(window))
        times = np.concatenate((window.timestamps_ms[len(window) - carried :], timestamps_ms))
        since_gap = np.zeros(2 * w - 1 + len(values), dtype=np.int64)
        since_gap[2 * w - 1 - carried :] = rows_since_gap(times, self.max_gap_ms)
        rows = values[start - 2 * w + 1 : start - w + 1] if start else _reach(window, 2 * w - 1)[:w]
        before, _ = self.scaling.apply(rows)
        rows = np.concatenate((before, units))
        return filled_means(rows, w, self.change, since_gap[start : start + len(rows)])

    def _formed(
        self,
        rows: Scaling,
        window: Window,
        timestamps_ms: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> Prepared:
        reach = _reach(window, self.window_rows - 1)
        units, _ = rows.apply(np.concatenate((reach, values)))
        forms, counts = shapes(units, self.window_rows)
        means, _ = self.scaling.apply(forms)
        missing = np.isnan(means).sum(axis=1)
        state = np.zeros(len(values), dtype=np.int8)
        state[2 * missing > means.shape[1]] = RowState.INSUFFICIENT
        is_warm = self._is_warm(window, timestamps_ms)
        if is_warm is not None:
            state[~is_warm] = RowState.WARMING_UP
        is_whole = bool((counts == self.window_rows).all())
        return Prepared(means, counts, state, is_warm is None and is_whole)

    @cached_property
    def _full_counts(self) -> NDArray[np.float64]:
        """As many rows as one may ask for; they take no memory."""
        return np.broadcast_to(float(self.window_rows), (_MOST_ROWS, len(self.scaling.centre)))

    def _is_warm(
        self, window: Window, timestamps_ms: NDArray[np.int64]
    ) -> NDArray[np.bool_] | None:
        """Which rows have a window's rows since the start or the last gap; None for all."""
        carried = min(self.window_rows - 1, len(window))
        times = np.concatenate((window.timestamps_ms[len(window) - carried :], timestamps_ms))
        if carried == self.window_rows - 1 and not (times[1:] - times[:-1] > self.max_gap_ms).any():
            return None
        return rows_since_gap(times, self.max_gap_ms)[carried:] >= self.window_rows


def _reach(window: Window, rows: int) -> NDArray[np.float64]:
    """The last so many rows of a window; missing where it has fewer."""
    carried = len(window)
    if carried >= rows:
        return window.values[carried - rows :]
    return np.concatenate((np.full((rows - carried, len(window.sensors)), np.nan), window.values))
