"""What a detector learns of one machine while it scores: slow drift, and a lasting new state.

Causal: it changes at fixed rows of the machine's stream only, by the row at hand, so it does not
depend on how the stream is cut. NumPy only; knows no distances and no boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector.new_normal import NewNormal, Proposal

_STEPS_PER_HISTORY = 50


@dataclass(frozen=True, eq=False)
class Adaptation:
    """How far one machine has moved since the detector was fitted, in the detector's scales.

    Attributes
    ----------
    rows
        Rows seen so far.
    offset
        Shape (d,): how far ordinary running has drifted from the clusters.
    new_normal
        Lasting states that count as normal; None if there are none.
    proposed
        States beyond the boundary that may become so; None if there are none.
    tracked
        Shape (2, d): levels of the slow sensors, and where they came from; None before the first
        row. See `tracking`.
    """

    rows: int
    offset: NDArray[np.float64]
    new_normal: NewNormal | None = None
    proposed: Proposal | None = None
    tracked: NDArray[np.float64] | None = None

    @classmethod
    def start(cls, d: int) -> Adaptation:
        """Begin with a machine of d sensors that has not moved."""
        return cls(0, np.zeros(d))

    def later(self, rows: int) -> Adaptation:
        """Return it after so many more rows."""
        return Adaptation(
            self.rows + rows, self.offset, self.new_normal, self.proposed, self.tracked
        )


@dataclass(frozen=True)
class AdaptationRule:
    """When and how fast a detector adapts.

    Attributes
    ----------
    step_rows
        It adapts at every so many-th row of a machine, by the window that ends there.
    follow_rows
        Time constant, in rows, with which it follows drift within the boundary; 0: it does not.
    settle_ms
        After so many milliseconds of one stable state beyond the boundary, that is the new normal;
        0: never.

    Raises
    ------
    ValueError
        When a number is out of its range.
    """

    step_rows: int
    follow_rows: int
    settle_ms: int

    def __post_init__(self) -> None:
        if self.step_rows < 1 or self.follow_rows < 0 or self.settle_ms < 0:
            raise ValueError(
                "step_rows must be at least 1, follow_rows and settle_ms not negative; got "
                f"{self.step_rows}, {self.follow_rows} and {self.settle_ms}"
            )

    @property
    def active(self) -> bool:
        """Whether it ever changes anything."""
        return self.follow_rows > 0 or self.settle_ms > 0

    @property
    def share(self) -> float:
        """By which part of a row's deviation one step follows."""
        return min(1.0, self.step_rows / self.follow_rows) if self.follow_rows else 0.0

    def steps(self, rows_before: int, count: int) -> range:
        """Which of the next `count` rows are steps: their indices.

        >>> list(AdaptationRule(step_rows=4, follow_rows=400, settle_ms=0).steps(6, 9))
        [1, 5]
        """
        first = self.step_rows - rows_before % self.step_rows - 1
        return range(first, count if self.active else 0, self.step_rows)


NO_ADAPTATION = AdaptationRule(step_rows=1, follow_rows=0, settle_ms=0)


def step_rows_for(window_rows: int, follow_rows: int) -> int:
    """Choose the step: at least one window, so that no row counts twice."""
    return max(window_rows, -(-follow_rows // _STEPS_PER_HISTORY))
