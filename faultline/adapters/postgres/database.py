"""One PostgreSQL database: its connections, its transactions, and what stands on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, text

from faultline.adapters.postgres.address import parsed
from faultline.adapters.postgres.comparison_store import PostgresComparisonStore
from faultline.adapters.postgres.drift_log import PostgresDriftLog
from faultline.adapters.postgres.fleet_store import PostgresFleetStore
from faultline.adapters.postgres.gate_log import PostgresGateLog
from faultline.adapters.postgres.job_queue import PostgresJobQueue
from faultline.adapters.postgres.outages import outages_as_unavailable
from faultline.adapters.postgres.promotion_log import PostgresPromotionLog
from faultline.adapters.postgres.record_store import PostgresRecordStore
from faultline.adapters.postgres.retention import PostgresRetentionStore
from faultline.adapters.postgres.trigger_log import PostgresTriggerLog
from faultline.errors import Unavailable

_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "faultline",
    # A server that vanished without a word is noticed in half a minute, not in two hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# Idle in a transaction: the recorder may wait that long for its dead letters to be acknowledged.
_SESSION = """
    SET client_encoding = 'UTF8';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '120s';
"""


class PostgresDatabase:
    """The Faultline database. Share one per process; safe between threads.

    Making it connects to nothing: the first call that needs the server does, and raises
    `Unavailable` while it is down.

    Parameters
    ----------
    database_url
        ``postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE``.
    connections
        The most that are open at once.

    Raises
    ------
    Conflict
        When the URL is none of PostgreSQL.
    """

    def __init__(self, database_url: str, connections: int = 10) -> None:
        self._engine = new_engine(database_url, connections)

    def record_store(self) -> PostgresRecordStore:
        """The recorder's side."""
        return PostgresRecordStore(self)

    def retention_store(self) -> PostgresRetentionStore:
        """What outlives its time."""
        return PostgresRetentionStore(self)

    def fleet_store(self) -> PostgresFleetStore:
        """The reading side."""
        return PostgresFleetStore(self)

    def comparison_store(self) -> PostgresComparisonStore:
        """Comparisons of challengers with champions."""
        return PostgresComparisonStore(self)

    def drift_log(self) -> PostgresDriftLog:
        """What drifted."""
        return PostgresDriftLog(self)

    def job_queue(self) -> PostgresJobQueue:
        """Training jobs."""
        return PostgresJobQueue(self)

    def promotion_log(self) -> PostgresPromotionLog:
        """Every change of Production."""
        return PostgresPromotionLog(self)

    def gate_log(self) -> PostgresGateLog:
        """What the gate found of every version."""
        return PostgresGateLog(self)

    def trigger_log(self) -> PostgresTriggerLog:
        """What starts trainings by itself."""
        return PostgresTriggerLog(self)

    def ping(self) -> str | None:
        """Why the database cannot be used now; None when it can."""
        try:
            with self.transaction() as connection:
                connection.execute(text("SELECT 1 FROM stream_offsets LIMIT 1"))
        except Unavailable as error:
            return str(error)
        return None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit at the end, roll back on an error.

        Raises
        ------
        Unavailable
            When the database does not answer, or has no connection left.
        """
        with outages_as_unavailable(), self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()


def new_engine(database_url: str, connections: int) -> Engine:
    """Engine with our timeouts, JSON by msgspec, and connections that are tried before use."""
    engine = create_engine(
        parsed(database_url),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        pool_use_lifo=True,
        connect_args=_CONNECT,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        # The column's type decodes the text; see `columns.Document`.
        json_deserializer=lambda encoded: encoded,
    )
    event.listen(engine, "connect", _begin_session)
    return engine


def _begin_session(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
    connection.commit()
