"""What a detector says of rows: states, scores, sensor health and contributions. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray


class RowState(IntEnum):
    """Whether a row has a score, and if not, why."""

    SCORED = 0
    WARMING_UP = 1
    """Fewer rows than a window since the machine began, or since a gap."""
    INSUFFICIENT = 2
    """Fewer than half of the sensors are present in the window."""


@dataclass(frozen=True, eq=False)
class SensorHealth:
    """What is wrong with single sensors, whatever the score says.

    Attributes
    ----------
    missing
        Shape (n, d), bool: the row itself has no finite value of the sensor.
    """

    missing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scores:
    """What a detector says of n rows.

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
    health
        Per row and sensor.
    means
        Shape (n, d): the window means that were scored, in scales from the centre; NaN where less
        than half of the sensor's window is present.
    counts
        Shape (n, d): how many values each of those means is made of.
    """

    state: NDArray[np.int8]
    score: NDArray[np.float64]
    cluster: NDArray[np.int64]
    known: NDArray[np.bool_]
    health: SensorHealth
    means: NDArray[np.float64]
    counts: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True)
class Contribution:
    """One sensor's part in a row's deviation.

    Attributes
    ----------
    sensor
        Its name.
    share
        Its part of the squared distance: at least 0, and 1 in sum over the sensors present.
    observed, expected
        Mean of its window, and mean in the nearest cluster, in the sensor's own units.
    direction
        Whether it is above or below what was expected.
    """

    sensor: str
    share: float
    observed: float
    expected: float
    direction: Literal["high", "low"]
