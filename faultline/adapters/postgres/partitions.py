"""Monthly partitions of readings and verdicts: made when a batch needs them, dropped by age."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, text

from faultline.adapters.postgres.columns import to_moment
from faultline.adapters.postgres.schema import BY_MONTH

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

# Any constant will do that no other advisory lock of this database uses.
_LOCK = 7_215_002
_EXISTS = text("SELECT to_regclass(:name) IS NOT NULL")
_CHILDREN = text(
    "SELECT inhrelid::regclass::text FROM pg_inherits"
    " WHERE inhparent = to_regclass(:parent) ORDER BY 1"
)


class Partitions:
    """Makes partitions and remembers which are there, so that most batches ask nothing."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def ensure(self, table: str, timestamps_ms: Iterable[int]) -> None:
        """Make the partitions of these times that are missing, each in a transaction of its own.

        Safe when several processes do it at once. It takes no lock that stops readers or writers
        of the table: that is why a partition is attached, not created in place.
        """
        moments = np.fromiter(timestamps_ms, dtype=np.int64).astype("datetime64[ms]")
        for month in np.unique(moments.astype("datetime64[M]")):
            start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
            name = _partition_name(table, start)
            if name in self._known:
                continue
            with self._database.transaction() as connection:
                _make(connection, table, name, start)
            with self._lock:
                self._known.add(name)

    def forget(self) -> None:
        """Look again: one of them was dropped by someone else."""
        with self._lock:
            self._known.clear()


def _make(connection: Connection, table: str, name: str, start: datetime) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if connection.scalar(_EXISTS, {"name": name}):
        return
    end = _next_month(start)
    # Names and bounds are made here of constants and numbers; DDL takes no parameters.
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    connection.execute(
        text(
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
        )
    )


def _partition_name(table: str, start: datetime) -> str:
    return f"{table}_y{start.year:04d}m{start.month:02d}"


def _month_of(partition: str) -> datetime:
    year, _, month = partition.rpartition("_y")[2].partition("m")
    return datetime(int(year), int(month), 1, tzinfo=UTC)


def _next_month(start: datetime) -> datetime:
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def drop_partitions_before(database: PostgresDatabase, before_ms: int) -> Sequence[str]:
    """Drop every month of readings and verdicts that ended at this time or earlier.

    Alarms, labels, and what is counted per machine stay.

    Returns
    -------
    Sequence
        Names of what was dropped.

    Raises
    ------
    Unavailable
        When the database is down, or a table was in use for too long; what was dropped before
        stays dropped, and the rest can be tried again.
    """
    before = to_moment(before_ms)
    dropped: list[str] = []
    for table in BY_MONTH:
        with database.transaction() as connection:
            partitions = connection.scalars(_CHILDREN, {"parent": table}).all()
        for name in partitions:
            if _next_month(_month_of(name)) > before:
                continue
            with database.transaction() as connection:
                # Behind a waiting DROP every other query waits too.
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
            dropped.append(name)
    return dropped
