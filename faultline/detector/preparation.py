"""Turns a machine's raw rows into what is judged: scaled window means, and whether they suffice.

NumPy only. It must not know clusters, distances or boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.scores import RowState
from faultline.detector.smoothing import scaled, window_means
from faultline.detector.window import Window, rows_since_gap


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


class Prepared(NamedTuple):
    """Rows as they are judged.

    Attributes
    ----------
    means, counts
        Shape (n, d): as `window_means` gives them.
    state
        Shape (n,), int8: a `RowState` each.
    """

    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    state: NDArray[np.int8]


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
        Of the rows.
    """

    window_rows: int
    max_gap_ms: int
    scaling: Scaling

    def prepare(
        self, window: Window, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Prepared:
        """Prepare the rows that follow a window: times (n,) and values (n, d)."""
        n, d = values.shape
        before = self.window_rows - 1
        carried = min(before, len(window))
        rows = np.full((before + n, d), np.nan)
        if carried:
            rows[before - carried : before] = window.values[-carried:]
        rows[before:] = values
        by = self.scaling
        means, counts = window_means(
            scaled(rows, by.centre, by.scale, by.low, by.high), self.window_rows
        )
        insufficient = 2 * np.isnan(means).sum(axis=1) > d
        warm = self._rows_since_start(window, timestamps_ms, carried) >= self.window_rows
        state = np.where(
            warm,
            np.where(insufficient, np.int8(RowState.INSUFFICIENT), np.int8(RowState.SCORED)),
            np.int8(RowState.WARMING_UP),
        )
        return Prepared(means, counts, state)

    def _rows_since_start(
        self, window: Window, timestamps_ms: NDArray[np.int64], carried: int
    ) -> NDArray[np.int64]:
        """For each new row, how many rows there were since the start or the last gap, itself too.

        It counts no further back than one window: more makes no difference.
        """
        times = np.concatenate((window.timestamps_ms[len(window) - carried :], timestamps_ms))
        return rows_since_gap(times, self.max_gap_ms)[carried:]
