"""Drift: events, written by the recorder, and what replicas counted. Read by everyone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.schema import drift_events, drift_parts
from faultline.drift import DriftEvent, DriftPart

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_columns = drift_events.c


class PostgresDriftLog:
    """`DriftLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        """The events, newest first; see the port."""
        query = select(drift_events).order_by(_columns.at.desc(), _columns.event_id.desc())
        if machine_type is not None:
            # The driver refuses NUL; no row has the empty name.
            asked = "" if "\0" in machine_type else machine_type
            query = query.where(_columns.machine_type == asked)
        with self._database.transaction() as connection:
            return [
                DriftEvent(
                    event_id=row["event_id"],
                    machine_type=row["machine_type"],
                    model_name=row["model_name"],
                    model_version=row["model_version"],
                    at_ms=row["at"],
                    findings=row["findings"],
                    start_ms=row["since"],
                    end_ms=row["until"],
                    readings=row["readings"],
                    machines=row["machines"],
                )
                for row in connection.execute(query.limit(limit)).mappings()
            ]

    def keep(self, part: DriftPart, oldest_ms: int) -> None:
        """Put a part in place of the former one; see the port."""
        row = {
            "machine_type": part.machine_type,
            "replica": part.replica,
            "bundle_sha256": part.bundle_sha256,
            "at": part.at_ms,
            "since": part.start_ms,
            "until": part.end_ms,
            "machines": part.machines,
            "counts": part.counts,
        }
        with self._database.transaction() as connection:
            connection.execute(
                insert(drift_parts)
                .values(row)
                .on_conflict_do_update(index_elements=["machine_type", "replica"], set_=row)
            )
            # Not those that another replica is just dropping or replacing: no circle of waiting.
            old = (
                select(drift_parts.c.machine_type, drift_parts.c.replica)
                .where(drift_parts.c.at < oldest_ms)
                .with_for_update(skip_locked=True)
            )
            connection.execute(
                delete(drift_parts).where(
                    tuple_(drift_parts.c.machine_type, drift_parts.c.replica).in_(old)
                )
            )

    def parts(self, since_ms: int) -> Sequence[DriftPart]:
        """Parts counted since then; see the port."""
        columns = drift_parts.c
        query = (
            select(drift_parts)
            .where(columns.at >= since_ms)
            .order_by(columns.machine_type, columns.replica)
        )
        with self._database.transaction() as connection:
            return [
                DriftPart(
                    replica=row["replica"],
                    machine_type=row["machine_type"],
                    bundle_sha256=row["bundle_sha256"],
                    at_ms=row["at"],
                    start_ms=row["since"],
                    end_ms=row["until"],
                    machines=row["machines"],
                    counts=bytes(row["counts"]),
                )
                for row in connection.execute(query).mappings()
            ]


def write_drift_events(connection: Connection, events: Sequence[DriftEvent]) -> None:
    """Keep events, in the transaction of the connection; one that comes again changes nothing."""
    # Sorted, so that two recorders wait for each other and never in a circle.
    ordered = sorted(events, key=lambda event: event.event_id)
    connection.execute(
        insert(drift_events).on_conflict_do_nothing(),
        [
            {
                "event_id": event.event_id,
                "machine_type": event.machine_type,
                "model_name": event.model_name,
                "model_version": event.model_version,
                "at": event.at_ms,
                "findings": event.findings,
                "since": event.start_ms,
                "until": event.end_ms,
                "readings": event.readings,
                "machines": event.machines,
            }
            for event in ordered
        ],
    )
