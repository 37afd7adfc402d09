"""Months on the real PostgreSQL: tables are made when they are needed, and dropped when too old."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.schema import BY_MONTH
from faultline.errors import Unavailable
from faultline.ports.broker import Partition
from faultline.ports.retention import Kept
from faultline.ports.stores import OffsetRange, RecordBatch
from faultline.readings import make_reading, parse_timestamp

GROUP = "recorder"
READINGS = Partition("sensor.readings", 0)
DEADLINE_S = 20.0
MARCH = parse_timestamp("2031-03-31T23:59:59.999Z")
APRIL = parse_timestamp("2031-04-01T00:00:00.000Z")
OLD = {Kept.READINGS: APRIL, Kept.VERDICTS: APRIL}

pytestmark = pytest.mark.real


def batch(*times: int, first: int = 0, partition: int = 0) -> RecordBatch:
    """Readings at these times, which are the messages from an offset on."""
    readings = [make_reading(f"pump-{partition}", at, {"flow": 1.0}, "pump") for at in times]
    offsets = OffsetRange(first, first + len(times))
    return RecordBatch({Partition("sensor.readings", partition): offsets}, readings)


def unexpected(conflicts: Sequence[int]) -> None:
    raise AssertionError(f"no conflict was expected, got {conflicts}")


def drop_old(database: PostgresDatabase) -> None:
    store = database.retention_store()
    for expired in store.expired(OLD):
        store.drop(expired)


def partitions_of(engine: Engine, table: str) -> list[str]:
    query = text(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:table)"
    )
    with engine.begin() as connection:
        return sorted(connection.scalars(query, {"table": table}))


def test_a_batch_makes_the_months_that_it_needs(postgres: PostgresDatabase, engine: Engine) -> None:
    before = set(partitions_of(engine, "readings"))
    postgres.record_store().record(GROUP, batch(MARCH, APRIL), unexpected)
    made = set(partitions_of(engine, "readings")) - before
    assert made <= {"readings_y2031m03", "readings_y2031m04"}
    with engine.begin() as connection:
        counts = [
            connection.scalar(text(f"SELECT count(*) FROM readings_y2031m{month}"))
            for month in ("03", "04")
        ]
    assert counts == [1, 1]


def test_recorders_that_need_the_same_new_month_at_once_both_store(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    drop_old(postgres)
    start = threading.Barrier(4, timeout=DEADLINE_S)

    def record(number: int) -> int:
        store = postgres.record_store()
        start.wait()
        return store.record(GROUP, batch(MARCH, partition=number), unexpected).stored

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(record, range(4))) == [1, 1, 1, 1]


def test_a_month_that_is_in_use_is_left_and_keeps_nobody_waiting(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    postgres.record_store().record(GROUP, batch(MARCH, APRIL), unexpected)
    store = postgres.retention_store()
    [march] = [one for one in store.expired(OLD) if one.name == "readings_y2031m03"]
    with engine.begin() as reader:
        reader.execute(text("SELECT count(*) FROM readings")).all()
        with pytest.raises(Unavailable, match="lock timeout"):
            store.drop(march)
    fleet = postgres.fleet_store()
    assert len(fleet.readings("pump-0").timestamps_ms) == 2
    assert store.drop(march)
    assert len(fleet.readings("pump-0").timestamps_ms) == 1
    assert fleet.machine("pump-0").readings == 2


def test_of_two_who_drop_at_once_one_does(postgres: PostgresDatabase, engine: Engine) -> None:
    postgres.record_store().record(GROUP, batch(MARCH), unexpected)
    store = postgres.retention_store()
    [march] = [one for one in store.expired(OLD) if one.name == "readings_y2031m03"]
    with engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(7215005)"))
        assert not store.drop(march)
    assert store.drop(march)


@contextmanager
def made(engine: Engine, what: str, definition: str) -> Iterator[None]:
    """Something in the database that is not ours, for as long as the block."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE {what} {definition}"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP {what} {definition.split(maxsplit=1)[0]}"))


def test_a_month_that_a_view_needs_is_left_until_the_view_is_gone(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    postgres.record_store().record(GROUP, batch(MARCH), unexpected)
    store = postgres.retention_store()
    [march] = [one for one in store.expired(OLD) if one.name == "readings_y2031m03"]
    with (
        made(engine, "VIEW", "of_march AS SELECT * FROM readings_y2031m03"),
        pytest.raises(Unavailable, match=r"cannot drop table .* view of_march depends on"),
    ):
        store.drop(march)
    assert store.drop(march)


@pytest.mark.parametrize("name", ["readings_default", "readings_y2030m1", "readings_y2030m13"])
def test_a_table_that_is_no_month_of_ours_is_left_alone(
    postgres: PostgresDatabase, engine: Engine, name: str
) -> None:
    postgres.record_store().record(GROUP, batch(MARCH), unexpected)
    bounds = "FROM ('2030-01-01T00:00:00Z') TO ('2030-02-01T00:00:00Z')"
    held = "DEFAULT" if name == "readings_default" else f"FOR VALUES {bounds}"
    with made(engine, "TABLE", f"{name} PARTITION OF readings {held}"):
        names = {one.name for one in postgres.retention_store().expired(OLD)}
        assert "readings_y2031m03" in names
        assert name not in names


def test_months_that_cannot_be_made_ahead_are_an_outage(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    overlapping = "FROM ('2040-01-10T00:00:00Z') TO ('2040-01-20T00:00:00Z')"
    with (
        made(engine, "TABLE", f"readings_by_hand PARTITION OF readings FOR VALUES {overlapping}"),
        pytest.raises(Unavailable, match="would overlap"),
    ):
        postgres.retention_store().prepare(parse_timestamp("2040-01-05T00:00:00Z"))


def test_alarms_go_with_their_events(postgres: PostgresDatabase, engine: Engine) -> None:
    with engine.begin() as connection:
        for alarm_id, closed_at in (("old", MARCH), ("new", APRIL)):
            connection.execute(
                text(
                    "INSERT INTO alarms (alarm_id, machine_id, machine_type, state, began_at,"
                    " opened_at, updated_at, closed_at, peak_score, peak_at, top_sensors,"
                    " bad_readings, model_name, model_version)"
                    " SELECT :id, 'p', 'pump', 'closed', t, t, t, t, 2, t, '[]', 6, 'm', '1'"
                    " FROM to_timestamp(:at / 1000.0) AS t"
                ),
                {"id": alarm_id, "at": closed_at},
            )
            connection.execute(
                text("INSERT INTO alarm_events VALUES (:id, :id, 'closed', now(), '{}')"),
                {"id": alarm_id},
            )
    store = postgres.retention_store()
    [alarms] = store.expired({Kept.EVENTS: APRIL})
    assert store.drop(alarms)
    with engine.begin() as connection:
        left = connection.scalars(text("SELECT alarm_id FROM alarm_events")).all()
    assert left == ["new"]


def test_events_go_some_at_a_time_and_those_that_went_stay_gone(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO drift_events SELECT n, 'pump', 'm', '1', t, '[]', t, t, 1, 1"
                " FROM generate_series(1, 4001) AS n, to_timestamp(n) AS t"
            )
        )
    store = postgres.retention_store()
    [events] = store.expired({Kept.EVENTS: APRIL})
    assert events.rows == 4_001
    with engine.begin() as other:
        other.execute(text("SELECT 1 FROM drift_events WHERE event_id = '4001' FOR UPDATE"))
        with pytest.raises(Unavailable, match="lock timeout"):
            store.drop(events)
    assert [event.event_id for event in postgres.drift_log().list()] == ["4001"]
    assert store.drop(events)
    assert not store.drop(events)


def test_this_months_and_the_next_ones_tables_are_made_ahead(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    december = parse_timestamp("2032-12-31T00:00:00Z")
    postgres.retention_store().prepare(december)
    for table in BY_MONTH:
        made = partitions_of(engine, table)
        assert {f"{table}_y2032m12", f"{table}_y2033m01"} <= set(made)


def test_a_reading_of_a_month_that_retention_has_dropped_is_stored_again(
    postgres: PostgresDatabase,
) -> None:
    store = postgres.record_store()
    store.record(GROUP, batch(MARCH), unexpected)
    drop_old(postgres)
    assert store.record(GROUP, batch(MARCH - 1, first=1), unexpected).stored == 1
    assert store.offsets(GROUP, [READINGS]) == {READINGS: 2}
