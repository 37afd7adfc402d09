"""Scores a table as the stream would: through `judge`, machine after machine, in parts.

It knows tables and verdicts; it must not know the format of what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmPolicy
from faultline.judge import Explanation, Judgement, Model, judge
from faultline.machine_state import MachineState
from faultline.offline.table import Table
from faultline.readings import Reading
from faultline.verdicts import Status, Verdict

PART_ROWS = 4_096
"""Rows judged at once: enough to be quick, few enough to keep their objects out of the way."""

_EXPLAINED = Explanation(min_score=0.0, sensors=5)
_CHANGES = frozenset({AlarmEventKind.OPENED, AlarmEventKind.CLOSED})
_POLICY = AlarmPolicy()
_WELL: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class Scored:
    """What was said of a table's n rows, in its order.

    Attributes
    ----------
    status
        One per row. A row without any value is no reading: it is ``insufficient_data``.
    score
        Shape (n,): NaN where there is none.
    alarm
        Shape (n,), bool: whether an alarm is open at the row. Not in a lasting state that counts
        as the new normal: there an open alarm only waits for a person.
    cluster
        Shape (n,): -1 where there is none.
    top_sensor, top_share
        The sensor that deviates most and its part of the deviation; "" and NaN where there is none.
    known
        False where a row is unlike every cluster.
    reason
        A code such as ``SENSOR_FAULT``, where the status needs one; else "".
    health
        What is wrong with single sensors at each row: name to what.
    machines
        Which machine each row is of.
    alarms
        All alarms, in the order in which they began. One still open at the end has no
        `closed_at_ms`.
    states
        Per machine, to judge its next rows from.
    """

    status: Sequence[Status]
    score: NDArray[np.float64]
    alarm: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    top_sensor: Sequence[str]
    top_share: NDArray[np.float64]
    known: Sequence[bool]
    reason: Sequence[str]
    health: Sequence[Mapping[str, str]]
    machines: Sequence[str]
    alarms: Sequence[Alarm]
    states: dict[str, MachineState]


@dataclass
class _Column:
    """The result as it grows, filled in any order."""

    rows: int
    status: list[Status] = field(init=False)
    top_sensor: list[str] = field(init=False)
    reason: list[str] = field(init=False)
    health: list[Mapping[str, str]] = field(init=False)
    machines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.status = [Status.INSUFFICIENT_DATA] * self.rows
        self.top_sensor = [""] * self.rows
        self.known = [True] * self.rows
        self.reason = [""] * self.rows
        self.health = [_WELL] * self.rows
        self.machines = [""] * self.rows
        self.score = np.full(self.rows, np.nan)
        self.alarm = np.zeros(self.rows, dtype=np.bool_)
        self.cluster = np.full(self.rows, -1, dtype=np.int64)
        self.top_share = np.full(self.rows, np.nan)

    def in_new_normal(self) -> NDArray[np.bool_]:
        return np.fromiter(
            (status is Status.NEW_NORMAL for status in self.status), np.bool_, self.rows
        )

    def fill(self, rows: Sequence[int], verdicts: Sequence[Verdict]) -> None:
        for row, verdict in zip(rows, verdicts, strict=True):
            self.status[row] = verdict.status
            self.known[row] = verdict.known
            self.reason[row] = verdict.reason or ""
            self.health[row] = verdict.health
            if verdict.score is not None:
                self.score[row] = verdict.score
            if verdict.cluster is not None:
                self.cluster[row] = verdict.cluster
            if verdict.contributions:
                top = verdict.contributions[0]
                self.top_sensor[row] = top.sensor
                self.top_share[row] = top.share


def score_table(
    model: Model,
    table: Table,
    machine: str,
    machine_type: str,
    *,
    states: dict[str, MachineState] | None = None,
    after_part: Callable[[Sequence[Reading]], object] = lambda _: None,
) -> Scored:
    """Judge every row of a table.

    Parameters
    ----------
    machine
        Whose rows they are in a table without a machine column.
    states
        Where earlier rows left the machines; None: all are new.
    after_part
        Called with each part of the readings that was judged.
    """
    column = _Column(len(table))
    alarms: list[Alarm] = []
    states = dict(states or {})
    has_value = table.filled()
    for machine_id, rows in table.rows_by_machine(machine).items():
        for row in rows.tolist():
            column.machines[row] = machine_id
        state = states.get(machine_id, MachineState())
        filled = rows[has_value[rows]]
        closed: list[Alarm] = []
        is_open = np.zeros(len(filled), dtype=np.bool_)
        was_open = state.alarms.alarm is not None
        for start in range(0, len(filled), PART_ROWS):
            part = filled[start : start + PART_ROWS]
            given = readings(table, part, machine_id, machine_type)
            judged = judge(model, state, given, _POLICY, _EXPLAINED)
            column.fill(part.tolist(), judged.batch.verdicts)
            is_open[start : start + len(part)] = _open_at(model, state, given, judged)
            closed += (
                event.alarm for event in judged.alarm_events if event.kind is AlarmEventKind.CLOSED
            )
            state = judged.state
            after_part(given)
        # A row that is no reading leaves the alarm as it is.
        before = np.searchsorted(filled, rows, side="right")
        column.alarm[rows] = np.concatenate(([was_open], is_open))[before]
        alarms += closed
        if state.alarms.alarm is not None:
            alarms.append(state.alarms.alarm)
        states[machine_id] = state
    return Scored(
        status=column.status,
        score=column.score,
        alarm=column.alarm & ~column.in_new_normal(),
        cluster=column.cluster,
        top_sensor=column.top_sensor,
        top_share=column.top_share,
        known=column.known,
        reason=column.reason,
        health=column.health,
        machines=column.machines,
        alarms=sorted(alarms, key=lambda alarm: (alarm.opened_at_ms, alarm.machine_id)),
        states=states,
    )


def readings(
    table: Table, rows: NDArray[np.int64], machine_id: str, machine_type: str
) -> list[Reading]:
    """Make readings of rows; the table was held against their limits when it was read."""
    values = table.values[rows]
    missing = np.isnan(values)
    if missing.any():
        values = values.astype(object)
        np.putmask(values, missing, None)  # type: ignore[arg-type]
    return [
        Reading(
            machine_id=machine_id,
            timestamp_ms=at_ms,
            sensors=dict(zip(table.sensors, row, strict=True)),
            machine_type=machine_type,
        )
        for at_ms, row in zip(table.timestamps_ms[rows].tolist(), values.tolist(), strict=True)
    ]


def _open_at(
    model: Model, state: MachineState, given: Sequence[Reading], judged: Judgement
) -> list[bool]:
    """Say for each reading whether an alarm is open after it.

    Where an alarm opened or closed, the readings are judged again by halves until it is found: the
    rule stays `judge`'s own, which gives the same however readings are cut.
    """
    changes = [event for event in judged.alarm_events if event.kind in _CHANGES]
    if not changes or len(given) == 1:
        return [judged.state.alarms.alarm is not None] * len(given)
    found = _by_time(state, judged.batch.verdicts, changes)
    if found is not None:
        return found
    middle = len(given) // 2
    first = judge(model, state, given[:middle], _POLICY, _EXPLAINED)
    second = judge(model, first.state, given[middle:], _POLICY, _EXPLAINED)
    return [
        *_open_at(model, state, given[:middle], first),
        *_open_at(model, first.state, given[middle:], second),
    ]


def _by_time(
    state: MachineState, verdicts: Sequence[Verdict], changes: Sequence[AlarmEvent]
) -> list[bool] | None:
    """Place the changes by their times; None where a time is not one row's alone."""
    times = [verdict.timestamp_ms for verdict in verdicts if verdict.score is not None]
    if len(set(times)) < len(times):
        return None
    moments: Iterator[tuple[int, bool]] = (
        (_moment(event), event.kind is AlarmEventKind.OPENED) for event in changes
    )
    change = next(moments, None)
    now = state.alarms.alarm is not None
    found: list[bool] = []
    for verdict in verdicts:
        while (
            change is not None and verdict.score is not None and change[0] == verdict.timestamp_ms
        ):
            now = change[1]
            change = next(moments, None)
        found.append(now)
    return found if change is None else None


def _moment(event: AlarmEvent) -> int:
    if event.kind is AlarmEventKind.OPENED:
        return event.alarm.opened_at_ms
    closed_at_ms = event.alarm.closed_at_ms
    assert closed_at_ms is not None
    return closed_at_ms
