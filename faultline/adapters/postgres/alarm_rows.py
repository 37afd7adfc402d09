"""Writes alarms, their events, and labels; reads alarms and labels back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.episodes import corrected, identity_of, moved_on
from faultline.adapters.postgres.schema import alarm_events, alarms, labels
from faultline.alarms import Alarm, AlarmEvent, AlarmState
from faultline.labels import FaultLabel

_LABEL_IDENTITY = (labels.c.machine_id, labels.c.kind, labels.c.start, labels.c.source)


def write_alarm_events(connection: Connection, events: Sequence[AlarmEvent]) -> None:
    """Keep each event once, and move each alarm on to where its events say it stands."""
    connection.execute(
        insert(alarm_events).on_conflict_do_nothing(),
        [
            {
                "event_id": event.event_id,
                "alarm_id": event.alarm.alarm_id,
                "kind": event.kind.value,
                "at": event.alarm.updated_at_ms,
                "alarm": event.alarm,
            }
            for event in events
        ],
    )
    told = sorted({event.alarm.alarm_id for event in events})
    rows = connection.execute(
        select(alarms)
        .where(alarms.c.alarm_id.in_(told))
        .order_by(alarms.c.alarm_id)
        .with_for_update()
    )
    current = {alarm.alarm_id: alarm for alarm in map(to_alarm, rows.mappings())}
    for event in events:
        alarm = event.alarm
        stored = current.get(alarm.alarm_id)
        current[alarm.alarm_id] = alarm if stored is None else moved_on(stored, alarm)
    statement = insert(alarms)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[alarms.c.alarm_id],
            set_={
                column.name: statement.excluded[column.name]
                for column in alarms.c
                if not column.primary_key
            },
        ),
        [_alarm_row(current[alarm_id]) for alarm_id in told],
    )


def write_labels(connection: Connection, told: Sequence[FaultLabel]) -> None:
    """Keep each fault once, as it was told last."""
    identities = sorted({identity_of(label) for label in told})
    rows = connection.execute(
        select(labels)
        .where(tuple_(*_LABEL_IDENTITY).in_(identities))
        .order_by(*_LABEL_IDENTITY)
        .with_for_update()
    )
    current = {identity_of(label): label for label in map(to_label, rows.mappings())}
    for label in told:
        identity = identity_of(label)
        stored = current.get(identity)
        current[identity] = label if stored is None else corrected(stored, label)
    statement = insert(labels)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(_LABEL_IDENTITY),
            set_={name: statement.excluded[name] for name in ("end", "sensors", "severity")},
        ),
        [_label_row(current[identity]) for identity in identities],
    )


def to_alarm(row: Mapping[Any, Any]) -> Alarm:
    """Alarm of a row of `alarms`."""
    return Alarm(
        alarm_id=row["alarm_id"],
        machine_id=row["machine_id"],
        machine_type=row["machine_type"],
        state=AlarmState(row["state"]),
        began_at_ms=row["began_at"],
        opened_at_ms=row["opened_at"],
        updated_at_ms=row["updated_at"],
        peak_score=row["peak_score"],
        peak_at_ms=row["peak_at"],
        top_sensors=row["top_sensors"],
        bad_readings=row["bad_readings"],
        model_name=row["model_name"],
        model_version=row["model_version"],
        closed_at_ms=row["closed_at"],
        why=row["why"],
    )


def to_label(row: Mapping[Any, Any]) -> FaultLabel:
    """Label of a row of `labels`."""
    return FaultLabel(
        machine_id=row["machine_id"],
        kind=row["kind"],
        start_ms=row["start"],
        end_ms=row["end"],
        sensors=tuple(row["sensors"]),
        severity=row["severity"],
        source=row["source"],
    )


def _alarm_row(alarm: Alarm) -> dict[str, Any]:
    return {
        "alarm_id": alarm.alarm_id,
        "machine_id": alarm.machine_id,
        "machine_type": alarm.machine_type,
        "state": alarm.state.value,
        "began_at": alarm.began_at_ms,
        "opened_at": alarm.opened_at_ms,
        "updated_at": alarm.updated_at_ms,
        "closed_at": alarm.closed_at_ms,
        "peak_score": alarm.peak_score,
        "peak_at": alarm.peak_at_ms,
        "top_sensors": alarm.top_sensors,
        "why": alarm.why,
        "bad_readings": alarm.bad_readings,
        "model_name": alarm.model_name,
        "model_version": alarm.model_version,
    }


def _label_row(label: FaultLabel) -> dict[str, Any]:
    return {
        "machine_id": label.machine_id,
        "kind": label.kind,
        "start": label.start_ms,
        "source": label.source,
        "end": label.end_ms,
        "sensors": list(label.sensors),
        "severity": label.severity,
    }
