"""Judges the readings of one machine: what the stream, HTTP and files have in common.

Pure: readings, a model and a state in; verdicts, alarm events and a new state out. It must not
know where readings come from or where verdicts go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from faultline.alarms import AlarmEvent, AlarmPolicy, Source, follow
from faultline.detector import Adaptation, Detector, Window
from faultline.detector.reference import Reference
from faultline.machine_state import Adapted, LateRun, MachineState
from faultline.readings import MAX_SENSORS, Reading
from faultline.rows import MAX_LATE_ROWS, columns_of, late_run, sift, take, tidied, values_of
from faultline.scored import EVERYTHING, NEAR_BOUNDARY, Explanation, verdicts_of
from faultline.verdicts import Status, Verdict, VerdictBatch

__all__ = [
    "EVERYTHING",
    "KEPT_ROWS",
    "MAX_CELLS",
    "NEAR_BOUNDARY",
    "Explanation",
    "Judgement",
    "Model",
    "judge",
]

KEPT_ROWS = 128
"""So many raw rows are kept of every machine, more where the model's window is longer: a first
model, or one with a longer window, then scores at once."""

MAX_CELLS = 2_000_000
"""A batch whose table would have more is judged in parts: a reading that names one sensor takes a
few bytes of a message, but a whole row of a table with every column that the others name."""


@dataclass(frozen=True, eq=False)
class Model:
    """A registered version, ready to score.

    Attributes
    ----------
    reference
        What its training looked like, to tell drift by; None where that is not known.
    bundle_sha256
        Sum of its bundle: a number alone can come to mean another version, where a model is deleted
        and registered anew. Empty where it came from no bundle.
    """

    name: str
    version: str
    detector: Detector
    reference: Reference | None = None
    bundle_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What came of a batch.

    Attributes
    ----------
    batch
        One verdict per reading, in the order given, all from one version.
    alarm_events
        What happened to the machine's alarms meanwhile.
    state
        To judge the next batch from.
    """

    batch: VerdictBatch
    alarm_events: Sequence[AlarmEvent]
    state: MachineState


def judge(
    model: Model | None,
    state: MachineState | None,
    readings: Sequence[Reading],
    policy: AlarmPolicy,
    explanation: Explanation = NEAR_BOUNDARY,
) -> Judgement:
    """Judge the next readings of one machine.

    However a machine's readings are cut into calls, and through whatever snapshots the state goes,
    the statuses and alarms are the same and the scores equal.

    A reading whose time is among the rows kept is a `duplicate`, whatever its values; another that
    is not later than the last is `late`. Both leave the window and the alarms as they were, but
    the last of `MAX_LATE_ROWS` late ones lets the window begin anew.

    Parameters
    ----------
    model
        None while there is none: the readings are kept, and the verdicts say `no_model`.
    state
        None for a machine never seen.
    readings
        At least one; all of one machine and one machine type, in the order they came.
    policy
        When an alarm opens and closes.
    explanation
        Which verdicts carry contributions.
    """
    before = state if state is not None else MachineState()
    columns = columns_of(before.window.sensors, [reading.sensors for reading in readings])
    cells = len(columns) * len(readings)
    if len(readings) > 1 and (len(columns) > 2 * MAX_SENSORS or cells > MAX_CELLS):
        return _in_parts(model, before, readings, policy, explanation, middle=len(readings) // 2)
    machine = readings[0]
    times = np.array([reading.timestamp_ms for reading in readings], dtype=np.int64)
    keep_rows = KEPT_ROWS if model is None else max(KEPT_ROWS, model.detector.rows_needed + 1)

    on_time, late, sifted = readings, LateRun(given_up_ms=before.late.given_up_ms), None
    if not before.window.precedes(times):
        sifted = in_order, duplicate = sift(before.window.timestamps_ms, times, keep_rows)
        late, judged = late_run(before.late, times, in_order, duplicate)
        if judged < len(readings):
            return _in_parts(model, before, readings, policy, explanation, middle=judged)
        on_time = [reading for reading, ok in zip(readings, in_order.tolist(), strict=True) if ok]
        columns = columns_of(before.window.sensors, [reading.sensors for reading in on_time])
        times = times[in_order]
    window = before.window.aligned(columns)
    values = values_of(columns, [reading.sensors for reading in on_time])
    # Joined once: what the model looks back over is among what is kept.
    window = window.followed_by(times, values, keep_rows + len(on_time))
    adapted = before.adapted
    if model is None:
        verdicts = _without_model(times)
    else:
        known = _Machine(machine.machine_id, window, _adaptation(model, adapted))
        verdicts, after = _scored(model.detector, known, times, explanation)
        adapted = Adapted(_identity(model), after)
    if sifted is not None:
        verdicts = _with_refused(verdicts, readings, *sifted)

    alarms, events = before.alarms, list[AlarmEvent]()
    if model is not None:
        source = Source(machine.machine_id, machine.machine_type, model.name, model.version)
        alarms, events = follow(before.alarms, source, verdicts, policy)
    if on_time:
        window = window.last(keep_rows)
        if len(columns) > len(on_time[-1].sensors):
            window = tidied(window, () if model is None else model.detector.sensors)
    batch = VerdictBatch(
        machine_id=machine.machine_id,
        machine_type=machine.machine_type,
        verdicts=tuple(verdicts),
        model_name=None if model is None else model.name,
        model_version=None if model is None else model.version,
    )
    state = MachineState(window, alarms, late, adapted)
    if late.rows == MAX_LATE_ROWS:
        begun = LateRun(given_up_ms=state.latest_ms)
        state = MachineState(Window.empty(()), alarms, begun, adapted)
    return Judgement(batch, events, state)


def _in_parts(
    model: Model | None,
    state: MachineState,
    readings: Sequence[Reading],
    policy: AlarmPolicy,
    explanation: Explanation,
    *,
    middle: int,
) -> Judgement:
    """Judge a batch as two: its table would be large, or its window begins anew in between."""
    first = judge(model, state, readings[:middle], policy, explanation)
    second = judge(model, first.state, readings[middle:], policy, explanation)
    verdicts = (*first.batch.verdicts, *second.batch.verdicts)
    return Judgement(
        structs.replace(first.batch, verdicts=verdicts),
        (*first.alarm_events, *second.alarm_events),
        second.state,
    )


def _without_model(times: NDArray[np.int64]) -> list[Verdict]:
    return [Verdict(timestamp_ms=at_ms, status=Status.NO_MODEL) for at_ms in times.tolist()]


def _with_refused(
    verdicts: Sequence[Verdict],
    readings: Sequence[Reading],
    in_order: NDArray[np.bool_],
    duplicate: NDArray[np.bool_],
) -> list[Verdict]:
    given = iter(verdicts)
    return [
        next(given)
        if ok
        else Verdict(
            timestamp_ms=reading.timestamp_ms,
            status=Status.DUPLICATE if is_duplicate else Status.LATE,
        )
        for reading, ok, is_duplicate in zip(
            readings, in_order.tolist(), duplicate.tolist(), strict=True
        )
    ]


class _Machine(NamedTuple):
    """What the detector needs to know of a machine: its rows up to the last one to judge."""

    machine_id: str
    window: Window
    adaptation: Adaptation | None


def _adaptation(model: Model, adapted: Adapted | None) -> Adaptation | None:
    """What was learnt with this version; in the scales of another one it would mean nothing."""
    return adapted.adaptation if adapted and adapted.version == _identity(model) else None


def _identity(model: Model) -> str:
    """Name and version: versions are counted per model, and a machine may change its type."""
    return f"{model.name}/{model.version}"


def _scored(
    detector: Detector,
    machine: _Machine,
    times: NDArray[np.int64],
    explanation: Explanation,
) -> tuple[list[Verdict], Adaptation]:
    window = machine.window
    if window.sensors != detector.sensors:
        own = take(window.sensors, window.values, detector.sensors)
        window = Window(detector.sensors, window.timestamps_ms, own)
    scores = detector.score_last(
        window, len(times), machine_id=machine.machine_id, adaptation=machine.adaptation
    )
    return verdicts_of(detector, times, scores, explanation), scores.adaptation
