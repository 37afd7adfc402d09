"""A machine with its last verdict and its open alarm, found without looking through either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, Table, select, true

from faultline.adapters.postgres.alarm_rows import to_alarm
from faultline.adapters.postgres.schema import alarms, machines, verdicts
from faultline.adapters.postgres.verdict_rows import to_stored_verdict
from faultline.alarms import AlarmState
from faultline.ports.stores import MachineSummary


def summaries() -> Select[Any]:
    """Query for machines as `to_summary` takes them; one step into an index for each part."""
    last_verdict = (
        _with_names_of_its_own(verdicts)
        .where(verdicts.c.machine_id == machines.c.machine_id)
        .order_by(verdicts.c.timestamp.desc())
        .limit(1)
        .lateral("last_verdict")
    )
    open_alarm = (
        _with_names_of_its_own(alarms)
        .where(
            alarms.c.machine_id == machines.c.machine_id, alarms.c.state == AlarmState.OPEN.value
        )
        .order_by(alarms.c.opened_at.desc())
        .limit(1)
        .lateral("open_alarm")
    )
    return select(machines, last_verdict, open_alarm).select_from(
        machines.outerjoin(last_verdict, true()).outerjoin(open_alarm, true())
    )


def to_summary(row: Mapping[Any, Any]) -> MachineSummary:
    """Machine of a row of `summaries`."""
    verdict, alarm = _part(row, verdicts), _part(row, alarms)
    return MachineSummary(
        machine_id=row["machine_id"],
        machine_type=row["machine_type"],
        first_seen_ms=row["first_seen"],
        last_seen_ms=row["last_seen"],
        readings=row["readings"],
        last_verdict=None if verdict["machine_id"] is None else to_stored_verdict(verdict),
        open_alarm=None if alarm["alarm_id"] is None else to_alarm(alarm),
    )


def _with_names_of_its_own(table: Table) -> Select[Any]:
    return select(*(column.label(f"{table.name}_{column.name}") for column in table.c))


def _part(row: Mapping[Any, Any], table: Table) -> dict[str, Any]:
    return {column.name: row[f"{table.name}_{column.name}"] for column in table.c}
