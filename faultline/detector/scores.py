"""What a detector says of rows: states, scores and contributions. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation
from faultline.detector.health import Health
from faultline.detector.tracking import Tracked


class RowState(IntEnum):
    """Whether a row has a score, and if not, why."""

    SCORED = 0
    WARMING_UP = 1
    """Fewer rows than a window since the machine began, or since a gap."""
    INSUFFICIENT = 2
    """Fewer than half of the sensors are present in the window."""


@dataclass(eq=False, slots=True)  # frozen would take three times as long to make
class Scores:
    """What a detector says of n rows. Not to be changed.

    Attributes
    ----------
    state
        Shape (n,), int8: a `RowState` each.
    score
        Shape (n,): distance to the nearest cluster over the boundary. 1.0 is the boundary, higher
        is worse; NaN unless SCORED.
    cluster
        Shape (n,), int64: the nearest cluster; -1 unless SCORED.
    known
        Shape (n,), bool: False when the row is far from every cluster (its score is above the
        detector's `unknown_score`), and False unless SCORED.
    settled
        Shape (n,), bool: beyond the boundary of every cluster, but within that of the lasting new
        state that was adopted. Its score is against that state.
    sensor_fault
        Shape (n,), bool: the score is above 1 only because of sensors that are stuck or out of
        their range; without them it would not be.
    health
        Per row and sensor.
    means
        Shape (n, d): the window means that were scored, in scales from the centre; NaN where less
        than half of the sensor's window is present.
    counts
        Shape (n, d): how many present values each of those means is worth; see `filled_means`.
    shifts
        Shape (s, d): how far the clusters had moved for the machine, in scales: by its baseline,
        by drift that was followed, or to the new state.
    shift_of
        Shape (n,), int64: which of `shifts` a row was scored with.
    tracked
        Levels of the slow sensors, in scales, which were taken off first; None without such.
    known_machine
        Whether the machine has a baseline of its own.
    adaptation
        What was learnt of the machine, to give to the next call.
    """

    state: NDArray[np.int8]
    score: NDArray[np.float64]
    cluster: NDArray[np.int64]
    known: NDArray[np.bool_]
    settled: NDArray[np.bool_]
    sensor_fault: NDArray[np.bool_]
    health: Health
    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    shifts: NDArray[np.float64]
    shift_of: NDArray[np.int64]
    tracked: Tracked | None
    known_machine: bool
    adaptation: Adaptation

    def __len__(self) -> int:
        return len(self.state)


class Contribution(NamedTuple):  # a frozen dataclass would take three times as long to make
    """One sensor's part in a row's deviation.

    Attributes
    ----------
    sensor
        Its name.
    share
        Its part of the deviation: at least 0, and 1 in sum over the sensors present.
    observed
        Mean of its window, in the sensor's own units.
    expected
        What it should be in the nearest cluster, given the other sensors where the distance knows
        how they move together.
    expected_low, expected_high
        Nearly all ordinary values lie between these.
    direction
        Whether it is above or below what was expected.
    """

    sensor: str
    share: float
    observed: float
    expected: float
    expected_low: float
    expected_high: float
    direction: Literal["high", "low"]
