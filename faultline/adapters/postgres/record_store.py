"""Stores what the recorder consumed: rows and offsets in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import psycopg2.errors
from sqlalchemy import Connection, bindparam, exc, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.alarm_rows import write_alarm_events, write_labels
from faultline.adapters.postgres.comparison_store import write_comparisons
from faultline.adapters.postgres.drift_log import write_drift_events
from faultline.adapters.postgres.partitions import Partitions
from faultline.adapters.postgres.reading_rows import ReadingsWritten, write_readings
from faultline.adapters.postgres.schema import stream_offsets
from faultline.adapters.postgres.verdict_rows import write_verdicts
from faultline.errors import StaleOffsets
from faultline.ports.broker import Partition
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_OF_PARTITION = tuple_(stream_offsets.c.topic, stream_offsets.c.partition)


class PostgresRecordStore:
    """`RecordStore` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._partitions = Partitions(database)

    def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Offsets of the next message to store; see the port."""
        query = select(
            stream_offsets.c.topic, stream_offsets.c.partition, stream_offsets.c.next_offset
        ).where(stream_offsets.c.consumer_group == group, _OF_PARTITION.in_(sorted(partitions)))
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {Partition(topic, number): next_offset for topic, number, next_offset in rows}

    def record(
        self,
        group: str,
        batch: RecordBatch,
        on_conflicts: Callable[[Sequence[int]], None],
    ) -> Recorded:
        """Store rows and offsets in one transaction; see the port."""
        self._make_partitions(batch)
        try:
            return self._record(group, batch, on_conflicts)
        except exc.IntegrityError as error:
            if not isinstance(error.orig, psycopg2.errors.CheckViolation):
                raise
        # A partition that was here is gone: retention has dropped it since. Nothing was stored,
        # and nobody was told of conflicts, for those are looked for after the rows are in.
        self._partitions.forget()
        self._make_partitions(batch)
        return self._record(group, batch, on_conflicts)

    def _make_partitions(self, batch: RecordBatch) -> None:
        self._partitions.ensure("readings", (each.timestamp_ms for each in batch.readings))
        self._partitions.ensure(
            "verdicts", (each.timestamp_ms for group in batch.verdicts for each in group.verdicts)
        )

    def _record(
        self,
        group: str,
        batch: RecordBatch,
        on_conflicts: Callable[[Sequence[int]], None],
    ) -> Recorded:
        with self._database.transaction() as connection:
            _lock_offsets(connection, group, batch.offsets)
            written = (
                write_readings(connection, batch.readings)
                if batch.readings
                else ReadingsWritten(0, ())
            )
            if batch.verdicts:
                write_verdicts(connection, batch.verdicts)
            if batch.alarm_events:
                write_alarm_events(connection, batch.alarm_events)
            if batch.labels:
                write_labels(connection, batch.labels)
            if batch.comparisons:
                write_comparisons(connection, batch.comparisons)
            if batch.drift_events:
                write_drift_events(connection, batch.drift_events)
            if written.conflicts:
                on_conflicts(written.conflicts)
            _advance_offsets(connection, group, batch.offsets)
        conflicts = len(written.conflicts)
        duplicates = len(batch.readings) - written.stored - conflicts
        return Recorded(written.stored, duplicates, conflicts)


def _lock_offsets(
    connection: Connection, group: str, ranges: Mapping[Partition, OffsetRange]
) -> None:
    """Hold these partitions' offsets until the commit, and check that they are ours to move on.

    Sorted, so that two recorders wait for each other and never in a circle.
    """
    if not ranges:
        return
    partitions = sorted(ranges)
    # A row must be there to be locked. Where another recorder is just making it, this waits.
    connection.execute(
        insert(stream_offsets).on_conflict_do_nothing(),
        [
            {
                "consumer_group": group,
                "topic": partition.topic,
                "partition": partition.number,
                "next_offset": ranges[partition].first,
            }
            for partition in partitions
        ],
    )
    stored = connection.execute(
        select(stream_offsets.c.topic, stream_offsets.c.partition, stream_offsets.c.next_offset)
        .where(stream_offsets.c.consumer_group == group, _OF_PARTITION.in_(partitions))
        .order_by(stream_offsets.c.topic, stream_offsets.c.partition)
        .with_for_update()
    )
    for topic, number, next_offset in stored:
        first = ranges[Partition(topic, number)].first
        if next_offset > first:
            raise StaleOffsets(
                f"{topic}, partition {number}: the batch begins at offset {first}, but the group "
                f"{group} has stored up to {next_offset}: another recorder has taken over; drop "
                "the batch and go on from the stored offset"
            )


def _advance_offsets(
    connection: Connection, group: str, ranges: Mapping[Partition, OffsetRange]
) -> None:
    if not ranges:
        return
    connection.execute(
        stream_offsets.update()
        .where(
            stream_offsets.c.consumer_group == group,
            stream_offsets.c.topic == bindparam("of_topic"),
            stream_offsets.c.partition == bindparam("of_partition"),
        )
        .values(next_offset=func.greatest(stream_offsets.c.next_offset, bindparam("upto"))),
        [
            {"of_topic": partition.topic, "of_partition": partition.number, "upto": offsets.next}
            for partition, offsets in ranges.items()
        ],
    )
