"""The detector: turns a machine's rows into scores and says which sensors made them.

NumPy only, because a predictor has no scikit-learn. It must not know how it was fitted, what an
alarm is, or where rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faultline.detector import storing
from faultline.detector.adaptation import NO_ADAPTATION, Adaptation, AdaptationRule
from faultline.detector.health import REACH_ROWS, HealthLimits
from faultline.detector.parts import Parameter
from faultline.detector.scores import Contribution, RowState, Scores
from faultline.detector.scoring import Scorer
from faultline.detector.shape import segments_of
from faultline.detector.validity import check
from faultline.detector.window import Window

__all__ = ["Contribution", "Detector", "RowState", "Scores", "Window"]

_SCORED = np.array(RowState.SCORED, dtype=np.int8)  # NumPy takes an array sooner than a number
_OTHER_COLUMNS = "the window has other columns than the detector; use window.aligned(sensors)"


@dataclass(frozen=True, eq=False, kw_only=True)
class Detector:
    """A fitted detector for one machine type.

    Attributes
    ----------
    sensors
        The columns it uses, in the order of every array.
    window_rows
        How many rows are averaged before they are judged.
    max_gap_ms
        A longer silence starts the window anew.
    centre, scale
        Shape (d,): median and robust standard deviation of the window means in training, in the
        sensors' own units. The scale of a slow sensor is wider.
    spread
        Shape (d,): standard deviation of single rows, in the sensors' own units.
    change
        Shape (d,), in the sensors' own units: how far a row is from the one a window before it,
        with which its missing values are filled where that is near. Of the shape (0,) where no
        sensor's are.
    step_ms
        The usual time between two rows, where a dropped row is filled as missing values are; 0
        where rows are counted as they come.
    clusters
        Shape (k, d): cluster centres, in scales from the centre.
    covariance
        Shape (d, d), in scales: of what is ordinary around a cluster; of the shape (0, 0) for
        Euclidean distance.
    machines
        Which machines have a baseline of their own.
    baselines
        Shape (m, d), in scales: how far each of them is from the type.
    between
        Shape (d,), in squared scales: variance of the baselines, which a new machine may add.
    speed
        Shape (d,), in scales: how fast the level of a slow sensor is tracked at most, per window;
        0 for the others. Of the shape (0,) when there is no slow one.
    origin
        Shape (d,): median of single rows, in the sensors' own units, in the shape view; of the
        shape (0,) otherwise. In the shape view the arrays above have a column for every stretch of
        a sensor's window in place of d, but for `spread`, and no units.
    boundary
        The distance that scores 1.0.
    unknown_score
        Above this score a row is unlike every cluster.
    rule
        How it adapts to drift and lasting changes.
    limits
        What is ordinary for each sensor on its own.

    Raises
    ------
    ValueError
        When the parts do not fit together or hold values that cannot be.

    Examples
    --------
    >>> detector = Detector(
    ...     sensors=("flow", "heat"), window_rows=2, max_gap_ms=5_000,
    ...     centre=np.array([10.0, 50.0]), scale=np.array([1.0, 2.0]),
    ...     spread=np.array([1.0, 2.0]), clusters=np.zeros((1, 2)), boundary=5.0,
    ...     unknown_score=2.0)
    >>> rows = np.array([[10.0, 50.0], [10.0, 50.0], [16.0, 66.0]])
    >>> scores, window = detector.score(
    ...     Window.empty(detector.sensors), np.array([0, 1000, 2000]), rows)
    >>> scores.score
    array([nan,  0.,  1.])
    >>> for part in detector.explain(scores, 2):
    ...     print(part.sensor, round(part.share, 2), part.observed, part.expected, part.direction)
    heat 0.64 58.0 50.0 high
    flow 0.36 13.0 10.0 high
    """

    sensors: tuple[str, ...]
    window_rows: int
    max_gap_ms: int
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    spread: NDArray[np.float64]
    clusters: NDArray[np.float64]
    boundary: float
    unknown_score: float
    change: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    step_ms: int = 0
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    machines: tuple[str, ...] = ()
    baselines: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    between: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rule: AdaptationRule = NO_ADAPTATION
    limits: HealthLimits | None = None

    def __post_init__(self) -> None:
        check(self)
        _ = self._scorer  # made now, so that it says what is wrong with the covariance

    @property
    def distance(self) -> Literal["euclidean", "covariance"]:
        """Which distance it measures by."""
        return "covariance" if self.covariance.size else "euclidean"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what is judged: the sensors, or in the shape view the stretches of each."""
        if not self.origin.size:
            return self.sensors
        stretches = range(1, self.segments + 1)
        return tuple(f"{name} {at}/{self.segments}" for name in self.sensors for at in stretches)

    @property
    def segments(self) -> int:
        """Into how many stretches a sensor's window is cut in the shape view; 1 otherwise."""
        return segments_of(self.window_rows) if self.origin.size else 1

    @cached_property
    def rows_needed(self) -> int:
        """How many rows before the next one it looks back over."""
        return max((2 if self.change.size else 1) * self.window_rows, REACH_ROWS) - 1

    def score(
        self,
        window: Window,
        timestamps_ms: NDArray[np.int64],
        values: NDArray[np.float64],
        *,
        machine_id: str | None = None,
        adaptation: Adaptation | None = None,
    ) -> tuple[Scores, Window]:
        """Score the next rows of one machine.

        However the rows are cut into calls, the scores are the same.

        Parameters
        ----------
        window
            The machine's window before these rows; `Window.empty` for a new machine.
        timestamps_ms
            Shape (n,), int64: strictly increasing, all later than the window's last.
        values
            Shape (n, d), float64, columns as `sensors`, in the sensors' own units. What is not
            finite counts as missing; what is out of a sensor's range counts as its end.
        machine_id
            Whose rows: a machine that was trained on has its own baseline. None, or a name that is
            not known, is a machine of which only the type is known.
        adaptation
            What `Scores.adaptation` of the call before was; None to begin with.

        Returns
        -------
        scores
            For the n rows.
        window
            To give to the next call.

        Raises
        ------
        ValueError
            When the window has other columns, the shapes disagree or a row comes too late.
        """
        if window.sensors != self.sensors:
            raise ValueError(_OTHER_COLUMNS)
        window.check_next(timestamps_ms, values)
        n = len(values)
        window = window.followed_by(timestamps_ms, values, self.rows_needed + n)
        scores = self.score_last(window, n, machine_id=machine_id, adaptation=adaptation)
        return scores, window.last(self.rows_needed + 1)

    def score_last(
        self,
        window: Window,
        n: int,
        *,
        machine_id: str | None = None,
        adaptation: Adaptation | None = None,
    ) -> Scores:
        """Score the last n rows of a window that holds `rows_needed` rows before them, or all.

        As `score`, which joins the rows first: for a caller that keeps windows itself.
        """
        if window.sensors != self.sensors:
            raise ValueError(_OTHER_COLUMNS)
        return self._scorer.score(window, n, machine_id, adaptation)

    def explain(self, scores: Scores, row: int) -> tuple[Contribution, ...]:
        """Say which sensors made a row's score.

        Parameters
        ----------
        scores
            What this detector's `score` returned.
        row
            Its row to explain, which must be SCORED.

        Returns
        -------
        tuple of Contribution
            One per sensor that is present in the window, the largest share first. On a row that
            lies exactly on a cluster all shares are equal.

        Raises
        ------
        ValueError
            When the row has no score.
        """
        return self.explain_rows(scores, np.array([row]))[0]

    def explain_rows(
        self, scores: Scores, rows: NDArray[np.int64], limit: int | None = None
    ) -> list[tuple[Contribution, ...]]:
        """Explain several rows at once, as `explain` does each; the first `limit` sensors of each.

        Parameters
        ----------
        rows
            Shape (m,): rows of `scores`, all SCORED.
        limit
            None for all; shares are of the whole either way.
        """
        state = scores.state.take(rows)
        if np.count_nonzero(state != _SCORED):
            at = int((state != _SCORED).argmax())
            raise ValueError(
                f"row {rows[at]} is {RowState(int(state[at])).name}: only a scored row can be "
                "explained"
            )
        return self._scorer.explain(scores, rows, limit)

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the detector, for an npz file. Nothing in them is an object."""
        return storing.arrays(self)

    def parameters(self) -> dict[str, Parameter]:
        """Return all that is not an array, for a JSON file. Floats survive JSON exactly."""
        return storing.parameters(self)

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Parameter], arrays: Mapping[str, NDArray[np.float64]]
    ) -> Detector:
        """Build the detector that `parameters` and `to_arrays` were taken from.

        Raises
        ------
        ValueError
            When a part is absent, of the wrong kind, or does not fit the others.
        """
        return cls(**storing.fields_of(parameters, arrays))

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self)
