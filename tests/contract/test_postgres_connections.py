"""What only the real database can get wrong: connections that are lost, busy or not there."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from faultline.adapters.postgres import PostgresDatabase
from faultline.errors import Conflict, StaleOffsets, Unavailable
from faultline.ports.broker import Partition
from faultline.ports.stores import HistoryQuery, OffsetRange, RecordBatch, Recorded
from faultline.readings import Reading, make_reading, parse_timestamp

GROUP = "recorder"
READINGS = Partition("sensor.readings", 0)
DEADLINE_S = 20.0
MARCH = parse_timestamp("2031-03-31T23:59:59.999Z")
APRIL = parse_timestamp("2031-04-01T00:00:00.000Z")


def reading(at_ms: int, value: float = 1.0, machine: str = "pump-07") -> Reading:
    return make_reading(machine, at_ms, {"pressure": value}, "pump")


def batch(*readings: Reading, first: int = 0) -> RecordBatch:
    return RecordBatch({READINGS: OffsetRange(first, first + len(readings))}, readings)


def unexpected(conflicts: Sequence[int]) -> None:
    raise AssertionError(f"no conflict was expected, got {conflicts}")


def kill_connections(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'faultline'"
            )
        )


def wait_for_one_that_waits(engine: Engine) -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'faultline' AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            if connection.scalar(query):
                return
    raise AssertionError("no connection waited for a lock in time")


@pytest.mark.real
def test_a_connection_lost_in_the_middle_of_a_batch_stores_nothing_of_it(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    store = postgres.record_store()
    store.record(GROUP, batch(reading(MARCH)), unexpected)
    half_done = batch(reading(MARCH, value=2.0), reading(MARCH - 1), first=1)
    # Conflicts are told when all rows are written and nothing is committed.
    with pytest.raises(Unavailable, match="PostgreSQL: "):
        store.record(GROUP, half_done, lambda _: kill_connections(engine))
    assert store.offsets(GROUP, [READINGS]) == {READINGS: 1}
    assert postgres.fleet_store().readings("pump-07").timestamps_ms.tolist() == [MARCH]

    conflicts: list[int] = []
    assert store.record(GROUP, half_done, conflicts.extend).stored == 1
    assert conflicts == [0]


@pytest.mark.real
def test_a_recorder_waits_for_another_at_the_same_offsets_and_then_lets_go(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    store = postgres.record_store()
    store.record(GROUP, batch(reading(MARCH)), unexpected)
    with ThreadPoolExecutor(1) as threads:
        late: list[Future[Recorded]] = []

        def let_another_begin(_: Sequence[int]) -> None:
            same = batch(reading(MARCH - 1), first=1)
            late.append(threads.submit(store.record, GROUP, same, unexpected))
            wait_for_one_that_waits(engine)

        store.record(GROUP, batch(reading(MARCH, value=2.0), first=1), let_another_begin)
        with pytest.raises(StaleOffsets):
            late[0].result(DEADLINE_S)
    assert postgres.fleet_store().readings("pump-07").timestamps_ms.tolist() == [MARCH]


@pytest.mark.real
def test_connections_that_died_while_nobody_used_them_are_not_noticed(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    store = postgres.record_store()
    store.record(GROUP, batch(reading(MARCH)), unexpected)
    kill_connections(engine)
    assert store.offsets(GROUP, [READINGS]) == {READINGS: 1}


@pytest.mark.real
def test_a_connection_lost_while_history_streams_is_an_outage(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    readings = [reading(MARCH - at, machine=machine) for at in range(50) for machine in "ab"]
    postgres.record_store().record(GROUP, batch(*readings), unexpected)
    streamed = postgres.fleet_store().history(HistoryQuery("pump"))
    assert next(streamed).machine_id == "a"
    with engine.begin() as connection, ThreadPoolExecutor(1) as threads:
        connection.execute(text("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE"))
        waiting = threads.submit(next, streamed)
        wait_for_one_that_waits(engine)
        kill_connections(engine)
        with pytest.raises(Unavailable):
            waiting.result(DEADLINE_S)


class Interrupted(BaseException):
    """Raised in a thread that waits for the server."""


@pytest.mark.real
@pytest.mark.parametrize("reads", ["history", "newest_range"])
def test_a_query_ends_when_whoever_waits_for_it_is_interrupted(
    postgres: PostgresDatabase, engine: Engine, reads: str
) -> None:
    postgres.record_store().record(GROUP, batch(reading(MARCH), reading(APRIL)), unexpected)
    query, store = HistoryQuery("pump"), postgres.fleet_store()
    interrupted = threading.Event()

    def read() -> None:
        try:
            if reads == "history":
                list(store.history(query))
            else:
                store.newest_range(query, 1)
        except Interrupted:
            interrupted.set()

    thread = threading.Thread(target=read, daemon=True)
    with engine.begin() as holder:
        holder.execute(text("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE"))
        thread.start()
        wait_for_one_that_waits(engine)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted)
        )
        assert interrupted.wait(DEADLINE_S)
    thread.join(DEADLINE_S)
    [rows] = store.history(query)
    assert len(rows.timestamps_ms) == 2


def test_a_server_that_is_not_there_is_an_outage_and_ping_says_why() -> None:
    database = PostgresDatabase("postgresql://someone:secret@127.0.0.1:1/faultline")
    with pytest.raises(Unavailable, match="Connection refused"):
        database.fleet_store().machines()
    why = database.ping()
    assert why is not None
    assert "Connection refused" in why
    assert "secret" not in why


def test_an_address_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(Conflict) as refused:
        PostgresDatabase("mysql://someone:secret@127.0.0.1/faultline")
    assert "secret" not in str(refused.value)


@pytest.mark.real
def test_ping_has_nothing_to_say_of_a_database_that_works(postgres: PostgresDatabase) -> None:
    assert postgres.ping() is None


@pytest.mark.real
def test_a_database_without_tables_is_waited_for(empty_database_url: str) -> None:
    database = PostgresDatabase(empty_database_url)
    with pytest.raises(Unavailable, match="run `faultline migrate`"):
        database.job_queue().claim("w-1", 1.0)
    assert "faultline migrate" in (database.ping() or "")
    database.dispose()
