"""Measures a detector where nobody labelled faults: by faults injected into held-out healthy rows.

It must not know how a detector is fitted, or by what rule scores become alarms; both are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from faultline.detector.config import FitConfig
from faultline.detector.detector import Detector
from faultline.detector.fault_report import (
    STRENGTHS,
    FaultResult,
    InjectionReport,
    NotEvaluated,
    Trial,
    results_by_kind,
    results_by_strength,
    strengths_of,
)
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.injection import Fault, FaultKind, inject
from faultline.detector.scores import RowState, Scores
from faultline.detector.window import Window

__all__ = [
    "STRENGTHS",
    "AlarmRule",
    "FaultResult",
    "FitFunction",
    "Fitted",
    "InjectionReport",
    "NotEvaluated",
    "evaluate",
    "measure",
]

HELD_OUT_SHARE = 0.2
_PLACES = 32
_MAX_SENSORS = 16
_SPAN_WINDOWS = 3
_DAY_MS = 86_400_000
# What a sensor's health says of itself; the other kinds are faults of the machine.
_HEALTH_COUNTS = frozenset({FaultKind.STUCK, FaultKind.DROPOUT})


class AlarmRule(NamedTuple):
    """How scores become what a person sees.

    Attributes
    ----------
    rows
        How many scored rows it looks back over.
    is_open
        From the scores of consecutive rows of one machine, shape (n,) with NaN where there is
        none, to whether an alarm is open at each row. It opens on rows that have a score.
    """

    rows: int
    is_open: Callable[[NDArray[np.float64]], NDArray[np.bool_]]


class Fitted(Protocol):
    """What is needed of a fit."""

    @property
    def detector(self) -> Detector:
        """To score with."""


FitFunction = Callable[[Sequence[str], Sequence[MachineHistory], FitConfig], Fitted]


def evaluate(
    sensors: Sequence[str],
    histories: Sequence[MachineHistory],
    config: FitConfig,
    fit_function: FitFunction,
    rule: AlarmRule,
) -> InjectionReport | NotEvaluated:
    """Fit without the last fifth of every history, and measure on that fifth.

    The last stretch, because it is to the rest what the coming days are to the whole history: rows
    next to those that were learnt would be too much like them, and later ones have drifted.
    A detector fitted to less history stands in for the one that is used: no row is scored that was
    learnt from. The same histories, config and fit give the same report, but for the seconds.

    Parameters
    ----------
    sensors, histories, config
        As for the fit.
    fit_function
        Fits as the detector was fitted that the report is to speak for.
    rule
        When an alarm is open.
    """
    begin = perf_counter()
    cuts = [round((1 - HELD_OUT_SHARE) * len(history.values)) for history in histories]
    learnt = [_rows(history, 0, cut) for history, cut in zip(histories, cuts, strict=True)]
    try:
        detector = fit_function(sensors, learnt, config).detector
    except UnfitHistory as error:
        return NotEvaluated(f"the history is too short without its last fifth: {error}")
    fit_seconds = perf_counter() - begin
    columns = [list(sensors).index(name) for name in detector.sensors]
    held_out = [
        MachineHistory(
            history.machine_id, history.timestamps_ms[cut:], history.values[cut:, columns]
        )
        for history, cut in zip(histories, cuts, strict=True)
    ]
    return measure(detector, held_out, rule, config.seed, fit_seconds)


def measure(
    detector: Detector,
    held_out: Sequence[MachineHistory],
    rule: AlarmRule,
    seed: int,
    fit_seconds: float = 0.0,
) -> InjectionReport | NotEvaluated:
    """Inject faults into rows that a detector was not fitted to, and see what it finds.

    Every kind and strength is tried at the same places: of each sensor (of a sample, where there
    are many) at several times, for three windows and what the rule looks back over, or for less
    where the stretches are short. Only the rows around a place are scored, from a window and a
    rule's length before it.

    Parameters
    ----------
    held_out
        Healthy as far as is known; the columns are the detector's sensors.
    seed
        Of the places and of what the faults draw.
    fit_seconds
        To be added to the seconds this takes.
    """
    begin = perf_counter()
    held_out = [history for history in held_out if len(history.values)]
    stretches = [part for history in held_out for part in _unbroken(history, detector.max_gap_ms)]
    least = 2 * detector.window_rows + rule.rows
    longest = max((len(stretch.values) for stretch in stretches), default=0)
    if longest < least:
        return NotEvaluated(
            f"the history is too short: its last fifth has at most {longest} rows in a row without "
            f"a gap, and two windows and the alarm rule take {least}"
        )
    untouched = [_untouched(detector, rule, history) for history in held_out]
    scored_rows = sum(one.scored_rows for one in untouched)
    if not scored_rows:
        return NotEvaluated("no row of the history's last fifth can be scored")
    span = min(_SPAN_WINDOWS * detector.window_rows + rule.rows, longest - detector.window_rows)
    trials = [
        trial
        for place in _places(detector, stretches, span, seed)
        for trial in _trials(detector, rule, place)
    ]
    return InjectionReport(
        by_kind=results_by_kind(trials),
        by_strength=results_by_strength(trials),
        false_alarms=sum(one.opened for one in untouched),
        alarm_share=sum(one.open_rows for one in untouched) / scored_rows,
        machine_days=sum(one.scored_ms for one in untouched) / _DAY_MS,
        held_out_rows=sum(len(history.values) for history in held_out),
        fit_seconds=fit_seconds,
        seconds=fit_seconds + perf_counter() - begin,
    )


class _Place(NamedTuple):
    """Where faults are injected: the rows start to stop of a stretch, of one sensor."""

    stretch: MachineHistory
    column: int
    start: int
    stop: int
    sign: float
    seed: int


class _Untouched(NamedTuple):
    opened: int
    open_rows: int
    scored_rows: int
    scored_ms: int


def _score(
    detector: Detector,
    machine_id: str,
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
) -> Scores:
    """Score rows as the first that come of a machine."""
    empty = Window.empty(detector.sensors)
    return detector.score(empty, timestamps_ms, values, machine_id=machine_id)[0]


def _rows(history: MachineHistory, start: int, stop: int) -> MachineHistory:
    return MachineHistory(
        history.machine_id, history.timestamps_ms[start:stop], history.values[start:stop]
    )


def _unbroken(history: MachineHistory, max_gap_ms: int) -> list[MachineHistory]:
    """Cut at the gaps: behind one there is no score for a whole window, and nothing to find."""
    edges = np.flatnonzero(np.diff(history.timestamps_ms) > max_gap_ms) + 1
    cuts = [0, *edges.tolist(), len(history.values)]
    return [_rows(history, start, stop) for start, stop in pairwise(cuts)]


def _places(
    detector: Detector, stretches: Sequence[MachineHistory], span: int, seed: int
) -> Iterator[_Place]:
    """Draw several places of each sensor, every possible start as likely as any other."""
    rng = np.random.default_rng(seed)
    starts = np.array(
        [max(0, len(one.values) - span - detector.window_rows + 1) for one in stretches]
    )
    ends = np.cumsum(starts)
    sensors = rng.permutation(len(detector.sensors))[:_MAX_SENSORS]
    for column in np.repeat(sensors, -(-_PLACES // len(sensors))).tolist():
        drawn = int(rng.integers(ends[-1]))
        index = int(np.searchsorted(ends, drawn, side="right"))
        start = detector.window_rows + drawn - int(ends[index] - starts[index])
        yield _Place(
            stretches[index],
            column,
            start,
            start + span,
            sign=float(rng.choice((-1.0, 1.0))),
            seed=int(rng.integers(2**32)),
        )


def _trials(detector: Detector, rule: AlarmRule, place: _Place) -> Iterator[Trial]:
    """Inject faults of every kind and strength at one place."""
    first = max(0, place.start - detector.window_rows - rule.rows)
    rows = slice(first, place.stop)
    times, healthy = place.stretch.timestamps_ms[rows], place.stretch.values[rows]
    start = place.start - first
    untouched = _score(detector, place.stretch.machine_id, times, healthy)
    quiet = ~rule.is_open(untouched.score)
    well = ~_ill(untouched, place.column)
    unit = place.sign * float(detector.spread[place.column])
    for kind in FaultKind:
        for strength in strengths_of(kind):
            size = None if strength is None else strength * unit
            fault = Fault(kind, place.column, place.start, place.stop, size, place.seed)
            faulty = inject(place.stretch.values, fault, first)
            if np.array_equal(faulty, healthy, equal_nan=True):
                continue
            scores = _score(detector, place.stretch.machine_id, times, faulty)
            alarm = _first(_openings(rule.is_open(scores.score)) & quiet, start)
            said = None
            if kind in _HEALTH_COUNTS:
                said = _first(_ill(scores, place.column) & well, start)
            if said is not None and (alarm is None or said <= alarm):
                found, named = said, True
            elif alarm is not None:
                found, named = alarm, _blames(detector, scores, alarm, place.column)
            else:
                yield Trial(kind, strength, None, None, None)
                continue
            delay_ms = int(times[found] - times[start])
            yield Trial(kind, strength, found - start, delay_ms, named)


def _ill(scores: Scores, column: int) -> NDArray[np.bool_]:
    """Whether anything is wrong with the sensor itself, for each row."""
    masks = [mask[:, column] for mask in scores.health]
    return np.asarray(np.any(masks, axis=0))


def _openings(is_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return is_open & ~np.concatenate(([False], is_open[:-1]))


def _first(marked: NDArray[np.bool_], start: int) -> int | None:
    rows = np.flatnonzero(marked[start:])
    return start + int(rows[0]) if rows.size else None


def _blames(detector: Detector, scores: Scores, row: int, column: int) -> bool:
    top = detector.explain_rows(scores, np.array([row]), limit=1)[0][0]
    return top.sensor == detector.sensors[column]


def _untouched(detector: Detector, rule: AlarmRule, history: MachineHistory) -> _Untouched:
    scores = _score(detector, history.machine_id, history.timestamps_ms, history.values)
    is_scored = scores.state == RowState.SCORED
    is_open = rule.is_open(scores.score)
    steps = np.diff(history.timestamps_ms, prepend=history.timestamps_ms[:1])
    steps[steps > detector.max_gap_ms] = 0
    return _Untouched(
        opened=int(_openings(is_open).sum()),
        open_rows=int((is_open & is_scored).sum()),
        scored_rows=int(is_scored.sum()),
        scored_ms=int(steps[is_scored].sum()),
    )
