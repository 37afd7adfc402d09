"""Retention on PostgreSQL: months are dropped as tables, events row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exc, func, select, text

from faultline.adapters.months import end_ms, month_of_ms, month_of_partition, next_month
from faultline.adapters.postgres.partitions import Partitions
from faultline.adapters.postgres.schema import alarm_events, alarms, drift_events
from faultline.alarms import AlarmState
from faultline.errors import Unavailable
from faultline.ports.retention import Expired, Kept

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_LOCK = 7_215_005
_BY_MONTH: Mapping[Kept, str] = {Kept.READINGS: "readings", Kept.VERDICTS: "verdicts"}
_CHILDREN = text(
    "SELECT relname, reltuples::bigint AS rows, pg_total_relation_size(pg_class.oid) AS size_bytes"
    " FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = to_regclass(:parent) ORDER BY relname"
)
_EXISTS = text("SELECT to_regclass(:name) IS NOT NULL")
# Behind a waiting DROP every other query of the table waits too.
_HURRY = text("SET LOCAL lock_timeout = '500ms'")
_ALONE = text("SELECT pg_try_advisory_xact_lock(:key)")
# Far below what fits into a statement's time, however many there are in all.
_ROWS_AT_ONCE = 2_000


class PostgresRetentionStore:
    """`RetentionStore` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._partitions = Partitions(database)

    def expired(self, cutoffs: Mapping[Kept, int]) -> Sequence[Expired]:
        """What is from before; see the port."""
        with self._transaction() as connection:
            return [
                *(
                    one
                    for kind, table in _BY_MONTH.items()
                    if kind in cutoffs
                    for one in _months(connection, kind, table, cutoffs[kind])
                ),
                *(_events(connection, cutoffs[Kept.EVENTS]) if Kept.EVENTS in cutoffs else ()),
            ]

    def drop(self, expired: Expired) -> bool:
        """Drop it; see the port."""
        if expired.kind is not Kept.EVENTS:
            return self._drop_table(expired.name)
        dropped = False
        while self._delete_some(expired):
            dropped = True
        return dropped

    def prepare(self, now_ms: int) -> None:
        """Make the months' tables; see the port."""
        soon_ms = int(next_month(month_of_ms(now_ms)).timestamp()) * 1000
        with _refusals_as_unavailable():
            for table in _BY_MONTH.values():
                # Another process, or a person, may have dropped one that was known.
                self._partitions.forget()
                self._partitions.ensure(table, (now_ms, soon_ms))

    def _drop_table(self, name: str) -> bool:
        with self._transaction() as connection:
            if not _in_turn(connection) or not connection.scalar(_EXISTS, {"name": name}):
                return False
            # A name that `expired` has read from the catalogue; DDL takes no parameters.
            connection.execute(text(f'DROP TABLE "{name}"'))
        return True

    def _delete_some(self, expired: Expired) -> bool:
        """Delete some of the events for good; whether there were any."""
        with self._transaction() as connection:
            return _in_turn(connection) and _delete(connection, expired)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _refusals_as_unavailable(), self._database.transaction() as connection:
            yield connection


@contextmanager
def _refusals_as_unavailable() -> Iterator[None]:
    """Turn all that PostgreSQL refuses into `Unavailable`.

    A view on the table, a right that is missing: a person can mend it while the recorder goes on.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise Unavailable(f"PostgreSQL: {' '.join(str(error.orig).split())}") from error


def _in_turn(connection: Connection) -> bool:
    """Whether no other process is dropping, until the transaction ends."""
    connection.execute(_HURRY)
    return bool(connection.scalar(_ALONE, {"key": _LOCK}))


def _months(connection: Connection, kind: Kept, table: str, before_ms: int) -> Sequence[Expired]:
    return [
        Expired(
            kind=kind,
            name=name,
            until_ms=until_ms,
            rows=None if rows < 0 else rows,
            size_bytes=size_bytes,
        )
        for name, rows, size_bytes in connection.execute(_CHILDREN, {"parent": table})
        if (start := month_of_partition(table, name)) is not None
        and (until_ms := end_ms(start)) <= before_ms
    ]


def _events(connection: Connection, before_ms: int) -> Sequence[Expired]:
    counted = {
        table.name: connection.scalar(select(func.count()).select_from(table).where(old)) or 0
        for table, old in _old(before_ms)
    }
    return [
        Expired(kind=Kept.EVENTS, name=name, until_ms=before_ms, rows=rows)
        for name, rows in counted.items()
        if rows
    ]


def _old(before_ms: int) -> Sequence[tuple[Table, ColumnElement[bool]]]:
    closed = and_(alarms.c.state == AlarmState.CLOSED.value, alarms.c.closed_at < before_ms)
    return (alarms, closed), (drift_events, drift_events.c.at < before_ms)


def _delete(connection: Connection, expired: Expired) -> bool:
    table, old = next(one for one in _old(expired.until_ms) if one[0].name == expired.name)
    [key] = table.primary_key
    some = select(key).where(old).limit(_ROWS_AT_ONCE).with_for_update()
    keys = connection.scalars(some).all()
    if table is alarms:
        connection.execute(delete(alarm_events).where(alarm_events.c.alarm_id.in_(keys)))
    connection.execute(delete(table).where(key.in_(keys)))
    return bool(keys)
