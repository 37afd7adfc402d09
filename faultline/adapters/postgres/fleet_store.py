"""Answers what the services ask of machines, readings, verdicts, alarms and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from faultline.adapters.postgres.alarm_rows import to_alarm, to_label
from faultline.adapters.postgres.history import Span, newest_range, read_rows, span_of
from faultline.adapters.postgres.schema import alarms, labels, machines, verdicts
from faultline.adapters.postgres.summaries import summaries, to_summary
from faultline.adapters.postgres.verdict_rows import to_stored_verdict
from faultline.alarms import Alarm, AlarmState
from faultline.errors import NotFound
from faultline.labels import FaultLabel
from faultline.ports.stores import (
    HistoryQuery,
    MachineRows,
    MachineSummary,
    StoredVerdict,
    TimeRange,
    VerdictCounts,
)
from faultline.verdicts import Status

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase


class PostgresFleetStore:
    """`FleetStore` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def history(self, query: HistoryQuery) -> Iterator[MachineRows]:
        """Readings, a machine at a time; see the port.

        No connection is held between two machines.
        """
        of_type = select(machines.c.machine_id).where(
            machines.c.machine_types.contains([query.machine_type])
        )
        if query.machines is not None:
            of_type = of_type.where(machines.c.machine_id.in_(query.machines))
        with self._database.transaction() as connection:
            # Sorted here: the database's order may be that of a language.
            machine_ids = sorted(connection.scalars(of_type))
        span = span_of(query)
        for machine_id in machine_ids:
            if span.max_rows == 0:
                return
            with self._database.transaction() as connection:
                rows = read_rows(connection, machine_id, span)
            if span.max_rows is not None:
                span = span._replace(max_rows=span.max_rows - len(rows.timestamps_ms))
            if len(rows.timestamps_ms):
                yield rows

    def newest_range(self, query: HistoryQuery, rows: int) -> TimeRange | None:
        """The time range of the newest readings; see the port."""
        with self._database.transaction() as connection:
            return newest_range(connection, query, rows)

    def machines(self, machine_type: str | None = None) -> Sequence[MachineSummary]:
        """All machines, by id."""
        query = summaries()
        if machine_type is not None:
            query = query.where(machines.c.machine_type == machine_type)
        with self._database.transaction() as connection:
            found = [to_summary(row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda summary: summary.machine_id)

    def machine(self, machine_id: str) -> MachineSummary:
        """One machine; see the port."""
        query = summaries().where(machines.c.machine_id == _storable(machine_id))
        with self._database.transaction() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no reading of a machine {machine_id!r} has been stored")
        return to_summary(row)

    def readings(
        self,
        machine_id: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> MachineRows:
        """A machine's readings in a time range; see the port."""
        with self._database.transaction() as connection:
            return read_rows(
                connection, _storable(machine_id), Span(start_ms, end_ms, max_rows=limit)
            )

    def verdicts(
        self,
        machine_id: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        status: Status | None = None,
        limit: int = 100,
        *,
        oldest_first: bool = False,
    ) -> Sequence[StoredVerdict]:
        """A machine's verdicts, newest first, or oldest first; see the port."""
        time = verdicts.c.timestamp
        query = (
            select(verdicts)
            .where(verdicts.c.machine_id == _storable(machine_id))
            .order_by(time if oldest_first else time.desc())
            .limit(limit)
        )
        if start_ms is not None:
            query = query.where(time >= start_ms)
        if end_ms is not None:
            query = query.where(time < end_ms)
        if status is not None:
            query = query.where(verdicts.c.status == status.value)
        with self._database.transaction() as connection:
            return [to_stored_verdict(row) for row in connection.execute(query).mappings()]

    def verdict_counts(self, machine_id: str) -> VerdictCounts:
        """How many verdicts, by status and by version."""
        columns = (verdicts.c.status, verdicts.c.model_version)
        query = (
            select(*columns, func.count())
            .where(verdicts.c.machine_id == _storable(machine_id))
            .group_by(*columns)
        )
        by_status: dict[Status, int] = {}
        by_version: dict[str | None, int] = {}
        with self._database.transaction() as connection:
            for status, version, count in connection.execute(query):
                by_status[Status(status)] = by_status.get(Status(status), 0) + count
                by_version[version] = by_version.get(version, 0) + count
        return VerdictCounts(by_status, by_version)

    def verdicts_by_version(self, model_name: str) -> Mapping[str, int]:
        """How many verdicts each version of a model has made; see the port."""
        version = verdicts.c.model_version
        query = (
            select(version, func.count().label("made"))
            .where(verdicts.c.model_name == _storable(model_name), version.is_not(None))
            .group_by(version)
        )
        with self._database.transaction() as connection:
            return {row.model_version: row.made for row in connection.execute(query)}

    def alarms(
        self,
        machine_id: str | None = None,
        state: AlarmState | None = None,
        limit: int = 100,
    ) -> Sequence[Alarm]:
        """Alarms, newest first."""
        query = select(alarms).order_by(alarms.c.opened_at.desc(), alarms.c.alarm_id).limit(limit)
        if machine_id is not None:
            query = query.where(alarms.c.machine_id == _storable(machine_id))
        if state is not None:
            query = query.where(alarms.c.state == state.value)
        with self._database.transaction() as connection:
            return [to_alarm(row) for row in connection.execute(query).mappings()]

    def labels(self, machine_id: str | None = None) -> Sequence[FaultLabel]:
        """Known faults, by start."""
        query = select(labels)
        if machine_id is not None:
            query = query.where(labels.c.machine_id == _storable(machine_id))
        with self._database.transaction() as connection:
            told = [to_label(row) for row in connection.execute(query).mappings()]
        return sorted(told, key=lambda label: (label.start_ms, label.machine_id, label.kind))


def _storable(machine_id: str) -> str:
    """The id to look for: one with NUL, which the driver refuses, becomes one that no row has."""
    return "" if "\0" in machine_id else machine_id
