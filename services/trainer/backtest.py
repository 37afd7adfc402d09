"""Backtest: a version replayed over stored history, beside the alarms that there were.

It reads a machine at a time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.alarm_rule import in_words
from faultline.alarms import Alarm, AlarmPolicy
from faultline.errors import NotFound, UntrainableHistory
from faultline.events import machine_type_of
from faultline.judge import Model
from faultline.labels import FaultLabel
from faultline.matching import FaultOutcome, KnownFault, match
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows
from services.trainer.backtest_result import Backtest, Fault, Group, MachineBacktest
from services.trainer.champion import Contender
from services.trainer.live_time import LiveTime
from services.trainer.rerun import lead_ms, rerun, usual_step_ms

# Newest first, of one machine: far more than a person looks at.
_MOST_ALARMS = 10_000


@dataclass(frozen=True)
class Span:
    """What to replay.

    Attributes
    ----------
    machines
        None: all of the version's machine type.
    start_ms, end_ms
        Time range, end excluded; None is open.
    max_rows
        Readings of all machines together, at most.
    """

    machines: tuple[str, ...] | None
    start_ms: int | None
    end_ms: int | None
    max_rows: int


def backtest(
    store: FleetStore, contender: Contender, span: Span, policy: AlarmPolicy, live: LiveTime
) -> Backtest:
    """Replay a version.

    A machine's replay begins with an empty window a little before the span, so that the first
    verdicts in it are whole, where there are readings.

    Parameters
    ----------
    policy
        By which the version's alarms open and close.
    live
        When a version could raise those that there were.

    Raises
    ------
    NotFound
        When a machine has no readings in the time range, or none has.
    UntrainableHistory
        When there are more readings than allowed.
    Unavailable
        While the store is down.
    """
    model = contender.model
    machine_type = machine_type_of(model.name)
    labels = store.labels()
    machines = tuple(
        _machine(
            store,
            contender,
            rows,
            span,
            labels=[one for one in labels if one.machine_id == machine_id],
            policy=policy,
            live=live,
        )
        for machine_id, rows in _histories(store, model, machine_type, span)
        if len(rows.timestamps_ms) and int(rows.timestamps_ms[-1]) >= (span.start_ms or 0)
    )
    absent = sorted(set(span.machines or ()) - {machine.machine_id for machine in machines})
    if absent or not machines:
        who = ", ".join(map(repr, absent)) or f"machine type {machine_type!r}"
        raise NotFound(f"no readings of {who} in the time range; check the names and the range")
    return Backtest(model.name, model.version, in_words(policy), machines, live.since_ms)


def _histories(
    store: FleetStore, model: Model, machine_type: str, span: Span
) -> Iterator[tuple[str, MachineRows]]:
    query = HistoryQuery(
        machine_type=machine_type,
        start_ms=None if span.start_ms is None else max(0, span.start_ms - lead_ms(model)),
        end_ms=span.end_ms,
        machines=span.machines,
        # One more, to tell a history that is too long from one that just fits.
        max_rows=span.max_rows + 1,
    )
    rows = 0
    for machine in store.history(query):
        rows += len(machine.timestamps_ms)
        if rows > span.max_rows:
            raise UntrainableHistory(
                f"there are more than {span.max_rows:,} readings to replay; choose a shorter time "
                "range or fewer machines"
            )
        yield machine.machine_id, machine


def _machine(
    store: FleetStore,
    contender: Contender,
    rows: MachineRows,
    span: Span,
    *,
    labels: Sequence[FaultLabel],
    policy: AlarmPolicy,
    live: LiveTime,
) -> MachineBacktest:
    model = contender.model
    machine_type = machine_type_of(model.name)
    from_ms = int(rows.timestamps_ms[0]) if span.start_ms is None else span.start_ms
    again = rerun(model, machine_type, rows, from_ms, policy)
    times = rows.timestamps_ms[rows.timestamps_ms >= from_ms]
    start_ms, end_ms = int(times[0]), int(times[-1])
    then = [
        alarm
        for alarm in store.alarms(rows.machine_id, limit=_MOST_ALARMS)
        if alarm.opened_at_ms <= end_ms
        and (alarm.closed_at_ms is None or alarm.closed_at_ms > from_ms)
    ]
    grace_ms = model.detector.window_rows * usual_step_ms(rows)
    known = [
        KnownFault(label)
        for label in labels
        if label.start_ms <= end_ms and (label.end_ms is None or label.end_ms > start_ms)
    ]
    graces = {machine_type: grace_ms}
    were, are = match(known, then, graces), match(known, again.alarms, graces)
    healthy = _healthy(times, are.outcomes, grace_ms)
    steps = np.diff(times, prepend=times[:1])
    steps[steps > model.detector.max_gap_ms] = 0
    return MachineBacktest(
        machine_id=rows.machine_id,
        readings=len(times),
        learnt=int((healthy & contender.learnt(times)).sum()),
        start_ms=start_ms,
        end_ms=end_ms,
        verdicts=again.verdicts,
        groups=grouped(rows.machine_id, then, again.alarms),
        faults=tuple(
            Fault(now.fault.label, then.delay_s, now.delay_s, live.meets(now.fault.label))
            for then, now in zip(were.outcomes, are.outcomes, strict=True)
        ),
        false_then=len(were.false_alarms),
        false_now=len(are.false_alarms),
        healthy_ms=int(steps[healthy].sum()),
        healthy_live_ms=int(steps[healthy & live.holds(times)].sum()),
    )


def _healthy(
    times: NDArray[np.int64], outcomes: Sequence[FaultOutcome], grace_ms: int
) -> NDArray[np.bool_]:
    """Which rows lie outside known faults, shape (n,)."""
    healthy = np.ones(len(times), dtype=np.bool_)
    for outcome in outcomes:
        label = outcome.fault.label
        during = times >= label.start_ms
        if label.end_ms is not None:
            during &= times < label.end_ms + grace_ms
        healthy &= ~during
    return healthy


def grouped(machine_id: str, then: Sequence[Alarm], now: Sequence[Alarm]) -> tuple[Group, ...]:
    """Put the alarms of one machine together that overlap, by time."""
    told = [(alarm, True) for alarm in then] + [(alarm, False) for alarm in now]
    told.sort(key=lambda one: one[0].opened_at_ms)
    groups: list[list[tuple[Alarm, bool]]] = []
    until = -np.inf
    for alarm, was in told:
        if alarm.opened_at_ms > until:
            groups.append([])
        groups[-1].append((alarm, was))
        closed = np.inf if alarm.closed_at_ms is None else alarm.closed_at_ms
        until = max(until, closed) if len(groups[-1]) > 1 else closed
    return tuple(
        Group(
            machine_id,
            then=tuple(alarm for alarm, was in group if was),
            now=tuple(alarm for alarm, was in group if not was),
        )
        for group in groups
    )
