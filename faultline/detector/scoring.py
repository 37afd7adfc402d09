"""Scores rows by a detector: prepares them, places them, and asks whose fault a failure is.

All that does not depend on the rows is worked out once. NumPy only; it must not know how the
detector was fitted, nor what an alarm is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation
from faultline.detector.blame import ordinary_without, sick_sensors
from faultline.detector.covariance import Metric
from faultline.detector.explanation import by_sensor, contributions
from faultline.detector.frame import Frame
from faultline.detector.grid import Filling
from faultline.detector.health import Health, check_health, nowhere
from faultline.detector.placing import place
from faultline.detector.preparation import Preparation, Scaling
from faultline.detector.scores import Contribution, RowState, Scores
from faultline.detector.smoothing import SCALED_LIMIT, widening
from faultline.detector.tracking import Tracked, TrackingRule, track, unknown_levels
from faultline.detector.window import Window

if TYPE_CHECKING:
    from faultline.detector.detector import Detector

_SCORED = np.array(RowState.SCORED, dtype=np.int8)  # NumPy takes an array sooner than a number


class Scorer:
    """A detector made ready to score. The detector must be valid.

    Raises
    ------
    ValueError
        When the covariance is not positive definite.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._preparation = _preparation(detector)
        self._names = [name for name in detector.sensors for _ in range(detector.segments)]
        own = self._own_metric = Metric(detector.covariance if detector.covariance.size else None)
        # A machine without a baseline may differ from the type as others do.
        wider = own.widened_by(detector.between) if detector.between.size else own
        self._stranger = _frame(detector, wider, np.zeros(len(detector.centre)))
        self._frames: dict[str | None, Frame] = {
            name: _frame(detector, own, baseline)
            for name, baseline in zip(detector.machines, detector.baselines, strict=True)
        }
        self._boundary = np.array(detector.boundary)
        self._unknown_score = np.array(detector.unknown_score)
        self._tracking = (
            TrackingRule(detector.window_rows, detector.speed) if detector.speed.size else None
        )

    def score(
        self, window: Window, n: int, machine_id: str | None, adaptation: Adaptation | None
    ) -> Scores:
        """Score the last n rows of a window; as `Detector.score`, which has checked them."""
        detector = self._detector
        frame = self._frames.get(machine_id, self._stranger)
        if adaptation is None:
            adaptation = Adaptation.start(len(detector.centre))
        prepared = self._preparation.prepare(window, n)
        means, counts, state = prepared.means, prepared.counts, prepared.state
        is_scored = state == _SCORED
        widened = None
        if not prepared.is_complete and (counts[is_scored] < detector.window_rows).any():
            widened = self._widening(counts)
        tracked = self._tracked(adaptation, means, state)
        places = means
        if tracked is not None:
            places = means - tracked.levels[tracked.level_of]
            # A level that is not known yet makes its sensor missing.
            too_few = is_scored & (2 * np.isnan(places).sum(axis=1) > places.shape[1])
            state[too_few] = RowState.INSUFFICIENT
            is_scored = is_scored & ~too_few
            adaptation = replace(adaptation, tracked=tracked.after)
        placed = place(
            frame,
            detector.rule,
            adaptation,
            timestamps_ms=window.timestamps_ms[max(0, len(window) - n - 1) :],
            max_gap_ms=detector.max_gap_ms,
            means=places,
            widened=widened,
            judged=is_scored,
        )
        before, values = window.values[: len(window) - n], window.values[len(window) - n :]
        health = self._health(before, values, prepared.is_sound)
        score = placed.distance / self._boundary
        is_beyond = placed.distance > self._boundary
        sensor_fault = np.zeros(n, dtype=np.bool_)
        if detector.limits is not None and np.count_nonzero(is_beyond):
            rows = np.flatnonzero(is_beyond)
            sick = sick_sensors(
                health,
                detector.limits,
                before,
                detector.window_rows,
                rows,
                is_sound=prepared.is_sound,
            )
            sick = np.repeat(sick, detector.segments, axis=1)
            rows = ordinary_without(frame, placed, rows, sick, means=places, widened=widened)
            sensor_fault[rows] = True
        return Scores(
            state=state,
            score=score,
            cluster=placed.cluster,
            known=score <= self._unknown_score,
            settled=placed.settled,
            sensor_fault=sensor_fault,
            health=health,
            means=means,
            counts=counts,
            shifts=placed.shifts,
            shift_of=placed.shift_of,
            tracked=tracked,
            known_machine=frame is not self._stranger,
            adaptation=placed.adaptation,
        )

    def explain(
        self, scores: Scores, rows: NDArray[np.int64], limit: int | None
    ) -> list[tuple[Contribution, ...]]:
        """Explain rows that have a score; as `Detector.explain_rows`."""
        detector = self._detector
        is_shape = bool(detector.origin.size)
        counts = scores.counts[rows]
        is_full = not counts.size or counts.item(counts.argmin()) == detector.window_rows
        parts = contributions(
            self._names,
            metric=self._own_metric if scores.known_machine else self._stranger.metric,
            centre=detector.centre,
            scale=detector.scale,
            means=scores.means.take(rows, axis=0),
            references=self._references(scores, rows),
            widened=None if is_full else self._widening(counts),
            known=scores.known.take(rows),
            boundary=detector.boundary,
            limit=None if is_shape else limit,
        )
        return [by_sensor(row)[:limit] for row in parts] if is_shape else parts

    def _references(self, scores: Scores, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where the clusters of some rows were when they were scored, in scales; shape (m, d)."""
        clusters = self._detector.clusters.take(scores.cluster.take(rows), axis=0)
        places = clusters + scores.shifts.take(scores.shift_of.take(rows), axis=0)
        if scores.tracked is None:
            return places
        return places + scores.tracked.levels[scores.tracked.level_of[rows]]

    def _tracked(
        self, adaptation: Adaptation, means: NDArray[np.float64], state: NDArray[np.int8]
    ) -> Tracked | None:
        if self._tracking is None:
            return None
        unknown = unknown_levels(self._tracking.speed)
        return track(
            self._tracking,
            unknown if adaptation.tracked is None else adaptation.tracked,
            rows_before=adaptation.rows,
            means=means,
            judged=state == RowState.SCORED,
            begins_anew=state == RowState.WARMING_UP,
        )

    def _health(
        self, before: NDArray[np.float64], values: NDArray[np.float64], is_sound: bool
    ) -> Health:
        limits = self._detector.limits
        if limits is not None:
            return check_health(limits, before, values, is_sound=is_sound)
        well = nowhere(*values.shape)
        return Health(~np.isfinite(values), well, well, well)

    def _widening(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        detector = self._detector
        spread = 1.0 if detector.origin.size else detector.spread
        return widening(counts, detector.window_rows, spread / detector.scale)


def _frame(detector: Detector, metric: Metric, baseline: NDArray[np.float64]) -> Frame:
    return Frame(metric, detector.clusters, baseline, detector.boundary)


def _preparation(detector: Detector) -> Preparation:
    c, d = len(detector.centre), len(detector.sensors)
    low, high = np.full(c, -SCALED_LIMIT), np.full(c, SCALED_LIMIT)
    if detector.limits is not None and not detector.origin.size:
        # Each sensor's range, so that one absurd value does not make a whole window.
        low = np.maximum(low, (detector.limits.low - detector.centre) / detector.scale)
        high = np.minimum(high, (detector.limits.high - detector.centre) / detector.scale)
    scaling = Scaling(detector.centre, detector.scale, low, high)
    forms = None
    if detector.origin.size:
        limit = np.full(d, SCALED_LIMIT)
        forms = Scaling(detector.origin, detector.spread, -limit, limit)
    filling = None
    if detector.change.size:
        # Of a sensor whose spread is 0 no deviation is wider for what is missing.
        spread = detector.spread
        change = np.divide(detector.change, spread, out=np.zeros(d), where=spread > 0)
        filling = Filling(detector.window_rows, detector.max_gap_ms, detector.step_ms, change)
    return Preparation(detector.window_rows, detector.max_gap_ms, scaling, filling, forms)
