"""Measures a detector where nobody labelled faults: by faults injected into held-out healthy rows.

It must not know how a detector is fitted, or by what rule scores become alarms; both are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
)
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.rule import AlarmRule
from faultline.detector.scores import RowState
from faultline.detector.trials import (
    Untouched,
    Watcher,
    draw_places,
    rows_of,
    try_faults,
    unbroken,
    untouched,
)

__all__ = [
    "STRENGTHS",
    "AlarmRule",
    "FaultResult",
    "FitFunction",
    "Fitted",
    "InjectionReport",
    "NotEvaluated",
    "StandIn",
    "alarm_share",
    "evaluate",
    "fit_stand_in",
    "in_alarm",
    "measure",
    "measure_alike",
    "measure_stand_in",
]

HELD_OUT_SHARE = 0.2
_DAY_MS = 86_400_000


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
    stand_in = fit_stand_in(sensors, histories, config, fit_function)
    if isinstance(stand_in, NotEvaluated):
        return stand_in
    return measure_stand_in(stand_in, sensors, rule, config.seed)


class StandIn(NamedTuple):
    """A detector fitted without the end of the history, and that end.

    Attributes
    ----------
    held_out
        With all columns of the histories.
    """

    detector: Detector
    held_out: tuple[MachineHistory, ...]
    fit_seconds: float


def fit_stand_in(
    sensors: Sequence[str],
    histories: Sequence[MachineHistory],
    config: FitConfig,
    fit_function: FitFunction,
) -> StandIn | NotEvaluated:
    """Fit without the last fifth of every history; the first half of `evaluate`."""
    begin = perf_counter()
    cuts = [round((1 - HELD_OUT_SHARE) * len(history.values)) for history in histories]
    learnt = [rows_of(history, 0, cut) for history, cut in zip(histories, cuts, strict=True)]
    try:
        detector = fit_function(sensors, learnt, config).detector
    except UnfitHistory as error:
        return NotEvaluated(f"the history is too short without its last fifth: {error}")
    fit_seconds = perf_counter() - begin
    held_out = [
        rows_of(history, cut, len(history.values))
        for history, cut in zip(histories, cuts, strict=True)
    ]
    return StandIn(detector, tuple(held_out), fit_seconds)


def measure_stand_in(
    stand_in: StandIn, sensors: Sequence[str], rule: AlarmRule, seed: int
) -> InjectionReport | NotEvaluated:
    """Measure on the end that was held out; the second half of `evaluate`."""
    detector = stand_in.detector
    columns = [list(sensors).index(name) for name in detector.sensors]
    held_out = [
        MachineHistory(history.machine_id, history.timestamps_ms, history.values[:, columns])
        for history in stand_in.held_out
    ]
    return measure(detector, held_out, rule, seed, stand_in.fit_seconds)


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
    (report,) = measure_alike(
        [detector], detector.sensors, held_out, rule=rule, seed=seed, fit_seconds=fit_seconds
    )
    return report


def measure_alike(
    detectors: Sequence[Detector],
    sensors: Sequence[str],
    held_out: Sequence[MachineHistory],
    *,
    rule: AlarmRule,
    seed: int,
    fit_seconds: float = 0.0,
) -> list[InjectionReport | NotEvaluated]:
    """Measure several detectors, each by the same faults in the same rows.

    Faults are injected into every sensor that one of them knows: who does not know it will hardly
    find them.

    Parameters
    ----------
    detectors
        At least one. How large the faults are is by the first that knows the sensor.
    sensors
        The columns of the rows.
    held_out, rule, seed, fit_seconds
        As for `measure`.

    Returns
    -------
    list
        One report for each detector, in their order.
    """
    begin = perf_counter()
    held_out = [history for history in held_out if len(history.values)]
    stretches = unbroken(held_out, min(detector.max_gap_ms for detector in detectors))
    least = 2 * max(detector.window_rows for detector in detectors) + rule.rows
    longest = max((len(stretch.values) for stretch in stretches), default=0)
    if longest < least:
        refusal = NotEvaluated(
            f"the history is too short: its last fifth has at most {longest} rows in a row without "
            f"a gap, and two windows and the alarm rule take {least}"
        )
        return [refusal] * len(detectors)
    watchers = [Watcher(detector, sensors, rule) for detector in detectors]
    healthy = [[untouched(watcher, history) for history in held_out] for watcher in watchers]
    trials: list[list[Trial]] = [[] for _ in watchers]
    if any(one.scored_rows for own in healthy for one in own):
        for place in draw_places(detectors, sensors, stretches, rule, seed):
            for tried in try_faults(watchers, place):
                for own, trial in zip(trials, tried, strict=True):
                    own.append(trial)
    rows = sum(len(history.values) for history in held_out)
    seconds = fit_seconds + perf_counter() - begin
    return [
        _report(one, own, rows, fit_seconds, seconds)
        for one, own in zip(healthy, trials, strict=True)
    ]


def _report(
    healthy: Sequence[Untouched],
    trials: Sequence[Trial],
    rows: int,
    fit_seconds: float,
    seconds: float,
) -> InjectionReport | NotEvaluated:
    scored_rows = sum(one.scored_rows for one in healthy)
    if not scored_rows:
        return NotEvaluated("no row of the history's last fifth can be scored")
    return InjectionReport(
        by_kind=results_by_kind(trials),
        by_strength=results_by_strength(trials),
        false_alarms=sum(one.opened for one in healthy),
        alarm_share=sum(one.open_rows for one in healthy) / scored_rows,
        machine_days=sum(one.scored_ms for one in healthy) / _DAY_MS,
        held_out_rows=rows,
        fit_seconds=fit_seconds,
        seconds=seconds,
    )


def in_alarm(
    detector: Detector,
    sensors: Sequence[str],
    histories: Sequence[MachineHistory],
    rule: AlarmRule,
) -> list[NDArray[np.bool_]]:
    """Which rows of each history are in alarm.

    Parameters
    ----------
    sensors
        The columns of the rows.
    """
    watcher = Watcher(detector, sensors, rule)
    found = []
    for one in histories:
        scores = watcher.score(one.machine_id, one.timestamps_ms, one.values)
        found.append(rule.is_open(scores.score) & (scores.state == RowState.SCORED))
    return found


def alarm_share(
    detector: Detector,
    sensors: Sequence[str],
    healthy: Sequence[MachineHistory],
    rule: AlarmRule,
) -> float | None:
    """The part of the scored rows in alarm; None when none can be scored.

    Parameters
    ----------
    sensors
        The columns of the rows.
    """
    watcher = Watcher(detector, sensors, rule)
    found = [untouched(watcher, history) for history in healthy if len(history.values)]
    scored_rows = sum(one.scored_rows for one in found)
    return sum(one.open_rows for one in found) / scored_rows if scored_rows else None
