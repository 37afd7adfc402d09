"""Monthly partitions of readings and verdicts: made ahead, or when a batch needs them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, text

from faultline.adapters.months import next_month, partition_name

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

# Any constant will do that no other advisory lock of this database uses.
_LOCK = 7_215_002
_EXISTS = text("SELECT to_regclass(:name) IS NOT NULL")


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
            name = partition_name(table, start)
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
    end = next_month(start)
    # Names and bounds are made here of constants and numbers; DDL takes no parameters.
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    connection.execute(
        text(
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
        )
    )
