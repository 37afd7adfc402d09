"""The detector: turns a machine's rows into scores and says which sensors made them.

NumPy only, because a predictor has no scikit-learn. It must not know how it was fitted, what an
alarm is, or where rows come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faultline.detector import storing
from faultline.detector.adaptation import NO_ADAPTATION, Adaptation, AdaptationRule
from faultline.detector.blame import ordinary_without, sick_sensors
from faultline.detector.covariance import Metric
from faultline.detector.explanation import by_sensor, contributions
from faultline.detector.health import REACH_ROWS, Health, HealthLimits, check_health
from faultline.detector.parts import Parameter
from faultline.detector.placing import Frame, Placed, place
from faultline.detector.preparation import Preparation, Scaling
from faultline.detector.scores import Contribution, RowState, Scores
from faultline.detector.shape import segments_of
from faultline.detector.smoothing import SCALED_LIMIT, widening
from faultline.detector.tracking import Tracked, TrackingRule, track, unknown_levels
from faultline.detector.window import Window

__all__ = ["Contribution", "Detector", "RowState", "Scores", "Window"]

KEPT_ROWS = REACH_ROWS
"""A window keeps at least so many rows: what a sensor's health is judged by. A reloaded model whose
window is longer than its predecessor's then goes on without warming up again, too."""

_SCORED = np.int8(RowState.SCORED)  # compared several times as fast as the enum's member


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
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    machines: tuple[str, ...] = ()
    baselines: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    between: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rule: AdaptationRule = NO_ADAPTATION
    limits: HealthLimits | None = None

    def __post_init__(self) -> None:
        d = len(self.sensors)
        if d == 0 or len(set(self.sensors)) != d:
            raise ValueError(f"a detector needs distinct sensors; got {list(self.sensors)}")
        if len(set(self.machines)) != len(self.machines):
            raise ValueError("a machine has one baseline; some machines are named twice")
        if self.window_rows < 1 or self.max_gap_ms < 1:
            raise ValueError(
                f"window_rows and max_gap_ms must be at least 1; got {self.window_rows} and "
                f"{self.max_gap_ms}"
            )
        c = d * self._segments
        expected = {
            "centre": (c,),
            "scale": (c,),
            "spread": (d,),
            "change": (d,) if self.change.size else (0,),
            "clusters": (max(1, len(self.clusters)), c),
            "covariance": (c, c) if self.covariance.size else (0, 0),
            "baselines": (len(self.machines), c) if self.machines else (0, 0),
            "between": (c,) if self.between.size else (0,),
            "speed": (c,) if self.speed.size else (0,),
            "origin": (d,) if self.origin.size else (0,),
        }
        for name, shape in expected.items():
            array: NDArray[np.float64] = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} must be finite with the shape {shape}; got the shape {array.shape}"
                )
        if not ((self.scale > 0).all() and (self.spread >= 0).all() and (self.between >= 0).all()):
            raise ValueError("every scale must be positive, no spread and no variance negative")
        for name in ("boundary", "unknown_score"):
            number: float = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"{name} must be a positive number; got {number!r}")
        if self.limits is not None and len(self.limits.low) != d:
            raise ValueError(f"the limits are of {len(self.limits.low)} sensors; must be of {d}")
        _ = self._own_metric  # made now, so that it says what is wrong with the covariance

    @property
    def distance(self) -> Literal["euclidean", "covariance"]:
        """Which distance it measures by."""
        return "covariance" if self.covariance.size else "euclidean"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what is judged: the sensors, or in the shape view the stretches of each."""
        if not self.origin.size:
            return self.sensors
        stretches = range(1, self._segments + 1)
        return tuple(f"{name} {at}/{self._segments}" for name in self.sensors for at in stretches)

    @property
    def _segments(self) -> int:
        return segments_of(self.window_rows) if self.origin.size else 1

    @property
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
            raise ValueError(
                "the window has other columns than the detector; use window.aligned(sensors)"
            )
        window.check_next(timestamps_ms, values)
        prepared = self._preparation.prepare(window, timestamps_ms, values)
        means, counts, state = prepared.means, prepared.counts, prepared.state
        is_scored = state == _SCORED
        partial = not prepared.is_complete and (counts[is_scored] < self.window_rows).any()
        widened = self._widening(counts) if partial else None
        frame = self._frame(machine_id)
        if adaptation is None:
            adaptation = Adaptation.start(len(self.centre))
        tracked = self._tracked(adaptation, means, state)
        places = means
        if tracked is not None:
            places = means - tracked.levels[tracked.level_of]
            # A level that is not known yet makes its sensor missing.
            too_few = is_scored & (2 * np.isnan(places).sum(axis=1) > places.shape[1])
            state[too_few] = RowState.INSUFFICIENT
            is_scored = is_scored & ~too_few
        placed = place(
            frame,
            self.rule,
            adaptation if tracked is None else replace(adaptation, tracked=tracked.after),
            timestamps_ms=timestamps_ms,
            means=places,
            widened=widened,
            judged=is_scored,
        )
        score = placed.distance / self.boundary
        health = self._health(window, values)
        scores = Scores(
            state=state,
            score=score,
            cluster=placed.cluster,
            known=score <= self.unknown_score,
            settled=placed.settled,
            sensor_fault=self._sensor_fault(
                window, health, frame, placed, means=places, widened=widened
            ),
            health=health,
            means=means,
            counts=counts,
            shifts=placed.shifts,
            shift_of=placed.shift_of,
            tracked=tracked,
            known_machine=machine_id in self._row_of_machine,
            adaptation=placed.adaptation,
        )
        return scores, window.followed_by(
            timestamps_ms, values, max(KEPT_ROWS, self.rows_needed + 1)
        )

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
        state = scores.state[rows]
        if (state != RowState.SCORED).any():
            at = int((state != RowState.SCORED).argmax())
            raise ValueError(
                f"row {rows[at]} is {RowState(int(state[at])).name}: only a scored row can be "
                "explained"
            )
        parts = contributions(
            np.repeat(self.sensors, self._segments).tolist(),
            metric=self._own_metric if scores.known_machine else self._new_metric,
            centre=self.centre,
            scale=self.scale,
            means=scores.means[rows],
            references=self._references(scores, rows),
            widened=self._widening(scores.counts[rows]),
            limit=None if self.origin.size else limit,
        )
        return [by_sensor(row)[:limit] for row in parts] if self.origin.size else parts

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
    def _own_metric(self) -> Metric:
        return Metric(self.covariance if self.covariance.size else None)

    @cached_property
    def _new_metric(self) -> Metric:
        """For a machine without a baseline, which may differ from the type as others do."""
        return self._own_metric.widened_by(self.between) if self.between.size else self._own_metric

    @cached_property
    def _row_of_machine(self) -> dict[str | None, int]:
        return {name: row for row, name in enumerate(self.machines)}

    @cached_property
    def _preparation(self) -> Preparation:
        c, d = len(self.centre), len(self.sensors)
        low, high = np.full(c, -SCALED_LIMIT), np.full(c, SCALED_LIMIT)
        if self.limits is not None and not self.origin.size:
            # Each sensor's range, so that one absurd value does not make a whole window.
            low = np.maximum(low, (self.limits.low - self.centre) / self.scale)
            high = np.minimum(high, (self.limits.high - self.centre) / self.scale)
        scaling = Scaling(self.centre, self.scale, low, high)
        forms = None
        if self.origin.size:
            limit = np.full(d, SCALED_LIMIT)
            forms = Scaling(self.origin, self.spread, -limit, limit)
        change = self.change
        if change.size:
            # Of a sensor whose spread is 0 no deviation is wider for what is missing.
            change = np.divide(change, self.spread, out=np.zeros(d), where=self.spread > 0)
        return Preparation(self.window_rows, self.max_gap_ms, scaling, change, forms)

    def _references(self, scores: Scores, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where the clusters of some rows were when they were scored, in scales; shape (m, d)."""
        places = self.clusters[scores.cluster[rows]] + scores.shifts[scores.shift_of[rows]]
        if scores.tracked is None:
            return places
        return places + scores.tracked.levels[scores.tracked.level_of[rows]]

    def _frame(self, machine_id: str | None) -> Frame:
        row = self._row_of_machine.get(machine_id)
        longest_ms = self.rule.step_rows * self.max_gap_ms
        if row is None:
            nowhere = np.zeros(len(self.centre))
            return Frame(self._new_metric, self.clusters, nowhere, self.boundary, longest_ms)
        return Frame(
            self._own_metric, self.clusters, self.baselines[row], self.boundary, longest_ms
        )

    def _tracked(
        self, adaptation: Adaptation, means: NDArray[np.float64], state: NDArray[np.int8]
    ) -> Tracked | None:
        if not self.speed.size:
            return None
        return track(
            TrackingRule(self.window_rows, self.speed),
            unknown_levels(self.speed) if adaptation.tracked is None else adaptation.tracked,
            rows_before=adaptation.rows,
            means=means,
            judged=state == RowState.SCORED,
            begins_anew=state == RowState.WARMING_UP,
        )

    def _health(self, window: Window, values: NDArray[np.float64]) -> Health:
        if self.limits is not None:
            return check_health(self.limits, window.values, values)
        well = np.zeros(values.shape, dtype=np.bool_)
        return Health(~np.isfinite(values), well, well, well)

    def _sensor_fault(
        self,
        window: Window,
        health: Health,
        frame: Frame,
        placed: Placed,
        *,
        means: NDArray[np.float64],
        widened: NDArray[np.float64] | None,
    ) -> NDArray[np.bool_]:
        """Which rows are beyond the boundary only because of sensors that are sick."""
        blamed = np.zeros(len(means), dtype=np.bool_)
        beyond = np.flatnonzero(placed.distance > frame.boundary)
        if len(beyond) and self.limits is not None:
            sick = sick_sensors(health, self.limits, window.values, self.window_rows)[beyond]
            sick = np.repeat(sick, self._segments, axis=1)
            blamed[ordinary_without(frame, placed, beyond, sick, means=means, widened=widened)] = (
                True
            )
        return blamed

    def _widening(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = 1.0 if self.origin.size else self.spread
        return widening(counts, self.window_rows, spread / self.scale)
