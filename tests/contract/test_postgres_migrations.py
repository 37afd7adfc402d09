"""The migrations make the schema's tables, once, however many start at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import MIGRATION_LOCK, migrate
from faultline.adapters.postgres.schema import BY_MONTH, METADATA
from faultline.alarms import Alarm
from faultline.ports.promotions import PromotionKind, PromotionState
from faultline.verdicts import SensorContribution

pytestmark = pytest.mark.real
DEADLINE_S = 60.0


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def start_migrate(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "faultline", "migrate", "--postgres", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_waiting(connection: Connection, count: int) -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'advisory'"
    )
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        # Within a transaction the view stands still until it is told not to.
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        if connection.scalar(query) == count:
            return
    raise AssertionError(f"{count} migrations did not come to wait in time")


def test_the_migrations_make_exactly_the_tables_of_the_schema(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with connected(empty_database_url) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []


def test_the_migrations_partition_the_tables_that_the_schema_does(
    empty_database_url: str,
) -> None:
    migrate(empty_database_url)
    query = text(
        "SELECT partrelid::regclass::text AS name, pg_get_partkeydef(partrelid) AS key "
        "FROM pg_partitioned_table"
    )
    with connected(empty_database_url) as connection:
        found = {row.name: row.key for row in connection.execute(query)}
    assert found == dict.fromkeys(BY_MONTH, 'RANGE ("timestamp")')
    declared = {
        table.name
        for table in METADATA.tables.values()
        if table.dialect_options["postgresql"]["partition_by"]
    }
    assert declared == set(BY_MONTH)


def as_the_first_release_left_it(connection: Connection) -> None:
    connection.execute(
        text(
            "DROP VIEW sensor_values, machine_readings, machine_verdicts, machine_alarms; "
            "ALTER TABLE alarms DROP COLUMN why; "
            "ALTER TABLE promotions DROP COLUMN kind, DROP COLUMN forced, DROP COLUMN gate, "
            "DROP COLUMN gate_reason, DROP COLUMN state, DROP COLUMN announced, "
            "ALTER COLUMN to_version SET NOT NULL; "
            "ALTER TABLE training_jobs DROP COLUMN committed; DROP TABLE comparisons; "
            "DROP TABLE gate_decisions, training_triggers, training_schedules, drift_events; "
            "DROP TABLE drift_parts; "
            "ALTER TABLE training_jobs DROP COLUMN readings_then, DROP COLUMN unchanged, "
            "DROP COLUMN idempotency_key; "
            "UPDATE alembic_version SET version_num = '0001'"
        )
    )


def test_promotions_of_an_earlier_release_have_happened_and_are_announced(
    empty_database_url: str,
) -> None:
    migrate(empty_database_url)
    with connected(empty_database_url) as connection:
        as_the_first_release_left_it(connection)
        connection.execute(
            text(
                "INSERT INTO promotions (promotion_id, model_name, to_version, at, actor, reason) "
                "VALUES ('p', 'faultline-pump', '1', 'epoch', 'gate', 'it passed')"
            )
        )
    migrate(empty_database_url)
    database = PostgresDatabase(empty_database_url)
    try:
        log = database.promotion_log()
        [change] = log.list("faultline-pump")
        assert (change.kind, change.state) == (PromotionKind.PROMOTION, PromotionState.DONE)
        assert log.unfinished() == []
    finally:
        database.dispose()


def test_contributions_stored_before_there_were_bounds_can_still_be_read(
    empty_database_url: str,
) -> None:
    migrate(empty_database_url)
    parts = (
        '[{"sensor": "flow", "share": 0.75, "observed": 4.0, "expected": 2.0, "direction": "high"},'
        ' {"sensor": "heat", "share": 0.25, "observed": 1.0, "expected": 3.0, "direction": "low"}]'
    )
    alarm = {
        "alarm_id": "a",
        "machine_id": "m",
        "machine_type": "pump",
        "state": "open",
        "peak_score": 2.0,
        "bad_readings": 6,
        "model_name": "faultline-pump",
        "model_version": "1",
    }
    moments = ("began_at", "opened_at", "updated_at", "peak_at")
    event = json.dumps({**alarm, **{f"{name}_ms": 5 for name in moments}})
    with connected(empty_database_url) as connection:
        as_the_first_release_left_it(connection)
        connection.execute(
            text(
                "CREATE TABLE verdicts_all PARTITION OF verdicts DEFAULT; "
                "INSERT INTO verdicts (machine_id, timestamp, machine_type, status, known, "
                "contributions) VALUES ('m', 'epoch', 'pump', 'failure', true, :parts), "
                "('m', now(), 'pump', 'normal', true, null); "
                "INSERT INTO alarms (alarm_id, machine_id, machine_type, state, peak_score, "
                "bad_readings, model_name, model_version, began_at, opened_at, updated_at, "
                "peak_at, top_sensors) "
                "VALUES ('a', 'm', 'pump', 'open', 2, 6, 'faultline-pump', '1', "
                "'epoch', 'epoch', 'epoch', 'epoch', :parts); "
                "INSERT INTO alarm_events (event_id, alarm_id, kind, at, alarm) VALUES "
                "('e', 'a', 'opened', 'epoch', CAST(:event AS jsonb) || "
                "jsonb_build_object('top_sensors', CAST(:parts AS jsonb)))"
            ),
            {"parts": parts, "event": event},
        )
    migrate(empty_database_url)
    expected = (
        SensorContribution("flow", 0.75, 4.0, 2.0, 2.0, 2.0, "high"),
        SensorContribution("heat", 0.25, 1.0, 3.0, 3.0, 3.0, "low"),
    )
    database = PostgresDatabase(empty_database_url)
    try:
        store = database.fleet_store()
        [stored] = store.alarms()
        assert (stored.top_sensors, stored.why) == (expected, "")
        told = [one.verdict.contributions for one in store.verdicts("m")]
        assert told == [(), expected]
    finally:
        database.dispose()
    with connected(empty_database_url) as connection:
        kept = connection.scalar(text("SELECT alarm FROM alarm_events"))
    assert msgspec.convert(kept, Alarm).top_sensors == expected


def test_a_second_migration_changes_nothing(empty_database_url: str) -> None:
    first = migrate(empty_database_url)
    assert first.before is None
    assert migrate(empty_database_url) == (first.after, first.after)


def test_of_two_migrations_at_once_one_makes_the_tables(empty_database_url: str) -> None:
    with connected(empty_database_url) as connection:
        # Held until both stand before it, so that they go on in the same moment.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        both = [start_migrate(empty_database_url) for _ in range(2)]
        wait_until_waiting(connection, 2)
    said = sorted(process.communicate(timeout=DEADLINE_S)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said[0].startswith("tables are up to date")
    assert said[1].startswith("tables brought from nothing")


def test_the_command_waits_for_a_database_that_is_not_there_yet(empty_database_url: str) -> None:
    url = make_url(empty_database_url)
    late = f"{url.database}_late"
    process = start_migrate(url.set(database=late).render_as_string(hide_password=False))
    assert process.stderr is not None
    # It says so and goes on trying: only then is the database made.
    assert "waiting: PostgreSQL:" in process.stderr.readline()
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {late}"))
    try:
        said, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {late} WITH (FORCE)"))
    assert (process.returncode, said.split(" to ")[0]) == (0, "tables brought from nothing")
