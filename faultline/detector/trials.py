"""Tries injected faults on detectors: the same rows, places and faults for each of them.

It must not know how a detector is fitted, or what the trials come to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.detector import Detector
from faultline.detector.fault_report import Trial, strengths_of
from faultline.detector.history import MachineHistory
from faultline.detector.injection import Fault, FaultKind, inject
from faultline.detector.rule import AlarmRule
from faultline.detector.scores import RowState, Scores
from faultline.detector.window import Window

_PLACES = 32
_MAX_SENSORS = 16
_SPAN_WINDOWS = 3
# What a sensor's health says of itself; the other kinds are faults of the machine.
_HEALTH_COUNTS = frozenset({FaultKind.STUCK, FaultKind.DROPOUT})


class Watcher:
    """A detector that looks at rows with other columns than its own.

    Parameters
    ----------
    sensors
        Names of the rows' columns. Those that the detector does not know it passes over; those
        that it knows and the rows lack are missing.
    """

    def __init__(self, detector: Detector, sensors: Sequence[str], rule: AlarmRule) -> None:
        self.detector = detector
        self.rule = rule
        column_of = {name: column for column, name in enumerate(sensors)}
        self._columns = np.array([column_of.get(name, -1) for name in detector.sensors])
        self._own = {name: column for column, name in enumerate(detector.sensors)}

    def score(
        self, machine_id: str, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Scores:
        """Score rows as the first that come of a machine."""
        own = np.ascontiguousarray(np.take(values, self._columns, axis=1))
        own[:, self._columns < 0] = np.nan
        empty = Window.empty(self.detector.sensors)
        return self.detector.score(empty, timestamps_ms, own, machine_id=machine_id)[0]

    def is_ill(self, scores: Scores, sensor: str) -> NDArray[np.bool_]:
        """Whether anything is wrong with the sensor itself, for each row."""
        if sensor not in self._own:
            return np.zeros(len(scores.score), dtype=np.bool_)
        masks = [mask[:, self._own[sensor]] for mask in scores.health]
        return np.asarray(np.any(masks, axis=0))

    def blames(self, scores: Scores, row: int, sensor: str) -> bool:
        """Whether the sensor has the largest contribution."""
        return self.detector.explain_rows(scores, np.array([row]), limit=1)[0][0].sensor == sensor


class Untouched(NamedTuple):
    """What a detector makes of rows without a fault.

    Attributes
    ----------
    opened, open_rows
        Alarms, and the scored rows in alarm.
    """

    opened: int
    open_rows: int
    scored_rows: int
    scored_ms: int


def untouched(watcher: Watcher, history: MachineHistory) -> Untouched:
    """Score a machine's rows as they are."""
    scores = watcher.score(history.machine_id, history.timestamps_ms, history.values)
    is_scored = scores.state == RowState.SCORED
    is_open = watcher.rule.is_open(scores.score)
    steps = np.diff(history.timestamps_ms, prepend=history.timestamps_ms[:1])
    steps[steps > watcher.detector.max_gap_ms] = 0
    return Untouched(
        opened=int(_openings(is_open).sum()),
        open_rows=int((is_open & is_scored).sum()),
        scored_rows=int(is_scored.sum()),
        scored_ms=int(steps[is_scored].sum()),
    )


def unbroken(histories: Sequence[MachineHistory], max_gap_ms: int) -> list[MachineHistory]:
    """Cut at the gaps: behind one there is no score for a whole window, and nothing to find."""
    stretches = []
    for history in histories:
        edges = np.flatnonzero(np.diff(history.timestamps_ms) > max_gap_ms) + 1
        cuts = [0, *edges.tolist(), len(history.values)]
        stretches += [rows_of(history, start, stop) for start, stop in pairwise(cuts)]
    return stretches


def rows_of(history: MachineHistory, start: int, stop: int) -> MachineHistory:
    """The rows from start up to, not including, stop."""
    return MachineHistory(
        history.machine_id, history.timestamps_ms[start:stop], history.values[start:stop]
    )


class Place(NamedTuple):
    """Where faults are injected: the rows start to stop of a stretch, of one column.

    Attributes
    ----------
    before
        So many rows before are scored with them, or all that there are.
    unit
        Size of a fault of strength 1, with its sign.
    """

    stretch: MachineHistory
    sensor: str
    column: int
    start: int
    stop: int
    before: int
    unit: float
    seed: int


def draw_places(
    detectors: Sequence[Detector],
    sensors: Sequence[str],
    stretches: Sequence[MachineHistory],
    rule: AlarmRule,
    seed: int,
) -> Iterator[Place]:
    """Draw several places of each sensor that a detector knows.

    Every possible start is as likely as any other. Spans and sizes are by the longest window, and
    by the first detector that knows the sensor.
    """
    window_rows = max(detector.window_rows for detector in detectors)
    units: dict[str, float] = {}
    for detector in reversed(detectors):
        units.update(zip(detector.sensors, detector.spread.tolist(), strict=True))
    known = [column for column, name in enumerate(sensors) if name in units]
    longest = max(len(stretch.values) for stretch in stretches)
    span = min(_SPAN_WINDOWS * window_rows + rule.rows, longest - window_rows)
    rng = np.random.default_rng(seed)
    starts = np.array([max(0, len(one.values) - span - window_rows + 1) for one in stretches])
    ends = np.cumsum(starts)
    chosen = rng.permutation(len(known))[:_MAX_SENSORS]
    for position in np.repeat(chosen, -(-_PLACES // len(chosen))).tolist():
        column = known[position]
        drawn = int(rng.integers(ends[-1]))
        index = int(np.searchsorted(ends, drawn, side="right"))
        start = window_rows + drawn - int(ends[index] - starts[index])
        yield Place(
            stretches[index],
            sensors[column],
            column,
            start,
            start + span,
            window_rows + rule.rows,
            unit=float(rng.choice((-1.0, 1.0))) * units[sensors[column]],
            seed=int(rng.integers(2**32)),
        )


def try_faults(watchers: Sequence[Watcher], place: Place) -> Iterator[tuple[Trial, ...]]:
    """Inject faults of every kind and strength at one place; yields a trial of each watcher."""
    first = max(0, place.start - place.before)
    rows = slice(first, place.stop)
    times, healthy = place.stretch.timestamps_ms[rows], place.stretch.values[rows]
    before = [_Before.of(one, place, times, healthy) for one in watchers]
    for kind in FaultKind:
        for strength in strengths_of(kind):
            size = None if strength is None else strength * place.unit
            fault = Fault(kind, place.column, place.start, place.stop, size, place.seed)
            faulty = inject(place.stretch.values, fault, first)
            if np.array_equal(faulty, healthy, equal_nan=True):
                continue
            yield tuple(
                _trial(one, was, place, fault=(kind, strength), times=times, faulty=faulty)
                for one, was in zip(watchers, before, strict=True)
            )


class _Before(NamedTuple):
    """Of the untouched rows: where no alarm is open, and where the sensor is well."""

    quiet: NDArray[np.bool_]
    well: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        watcher: Watcher,
        place: Place,
        times: NDArray[np.int64],
        healthy: NDArray[np.float64],
    ) -> _Before:
        scores = watcher.score(place.stretch.machine_id, times, healthy)
        return cls(~watcher.rule.is_open(scores.score), ~watcher.is_ill(scores, place.sensor))


def _trial(
    watcher: Watcher,
    before: _Before,
    place: Place,
    *,
    fault: tuple[FaultKind, float | None],
    times: NDArray[np.int64],
    faulty: NDArray[np.float64],
) -> Trial:
    kind, strength = fault
    start = min(place.start, place.before)
    scores = watcher.score(place.stretch.machine_id, times, faulty)
    alarm = _first(_openings(watcher.rule.is_open(scores.score)) & before.quiet, start)
    said = None
    if kind in _HEALTH_COUNTS:
        said = _first(watcher.is_ill(scores, place.sensor) & before.well, start)
    if said is not None and (alarm is None or said <= alarm):
        found, named = said, True
    elif alarm is not None:
        found, named = alarm, watcher.blames(scores, alarm, place.sensor)
    else:
        return Trial(kind, strength, None, None, None)
    return Trial(kind, strength, found - start, int(times[found] - times[start]), named)


def _openings(is_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return is_open & ~np.concatenate(([False], is_open[:-1]))


def _first(marked: NDArray[np.bool_], start: int) -> int | None:
    rows = np.flatnonzero(marked[start:])
    return start + int(rows[0]) if rows.size else None
