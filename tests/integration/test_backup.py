"""Faultline's database backed up, lost and restored, with the real Kafka and recorder beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from faultline import topics
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.errors import NotFound
from faultline.local.home import Endpoints
from faultline.local.postgres import binary
from faultline.readings import encode_messages, make_reading

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker

pytestmark = pytest.mark.real

_SCRIPT = Path(__file__).parents[2] / "deploy/scripts/database.py"
_START_MS = 1_795_000_000_000


class Services(Protocol):
    def running(self, name: str, settings: dict[str, str]) -> Any: ...


class Until(Protocol):
    def __call__(self, done: Any, what: str) -> None: ...


class OwnDatabase:
    """A database on the module's server, which can be lost."""

    def __init__(self, server_url: str) -> None:
        self.name = f"backup_{uuid.uuid4().hex[:12]}"
        self.machine = f"pump-{self.name}"
        url = make_url(server_url)
        self.url = url.set(database=self.name).render_as_string(hide_password=False)
        self._server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def create(self) -> None:
        self._run(f"CREATE DATABASE {self.name}")

    def drop(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def script(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the script of deploy/ on this database, with the server's own programs."""
        return subprocess.run(
            [sys.executable, str(_SCRIPT), *map(str, arguments)],
            env={
                **os.environ,
                "PATH": f"{binary('pg_dump').parent}{os.pathsep}{os.environ['PATH']}",
                "FAULTLINE_DATABASE_URL": self.url,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def execute(self, sql: str) -> None:
        """Do what an operator does in psql."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text(sql))

    def times(self) -> list[int]:
        """When the machine's stored readings were, in seconds from the first."""
        with _opened(self.url) as database:
            try:
                rows = database.fleet_store().readings(self.machine)
            except NotFound:
                return []
            return [(int(each) - _START_MS) // 1_000 for each in rows.timestamps_ms]

    def _run(self, sql: str) -> None:
        with self._server.connect() as connection:
            connection.execute(text(sql))


@contextmanager
def _opened(url: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(url)
    try:
        yield database
    finally:
        database.dispose()


@pytest.fixture
def own(platform: Endpoints) -> Iterator[OwnDatabase]:
    database = OwnDatabase(platform.database_url)
    database.create()
    try:
        migrate(database.url)
        yield database
    finally:
        database.drop()


def _send(broker: KafkaBroker, machine: str, first: int, count: int) -> None:
    readings = [
        make_reading(machine, _START_MS + number * 1_000, {"pressure": float(number)})
        for number in range(first, first + count)
    ]
    producer = broker.producer()
    for key, value in encode_messages(readings, 20, 900_000):
        producer.send(topics.READINGS.name, key, value)
    producer.flush(30)
    producer.close()


def _counted(http: httpx.Client, outcome: str) -> float:
    [counted] = _samples(http, f'faultline_recorder_readings_total{{outcome="{outcome}"}} ')
    return counted


def _behind(http: httpx.Client) -> float:
    """How many messages the recorder has not consumed."""
    return sum(_samples(http, "faultline_recorder_lag_messages{"))


def _samples(http: httpx.Client, start: str) -> list[float]:
    lines = http.get("/metrics").text.splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start)]


def test_after_a_restoration_the_recorder_stores_what_came_since_exactly_once(
    own: OwnDatabase, broker: KafkaBroker, services: Services, until: Until, tmp_path: Path
) -> None:
    settings = {"FAULTLINE_DATABASE_URL": own.url}
    archive = tmp_path / "faultline.dump"
    with services.running("recorder", settings) as recorder:
        _send(broker, own.machine, 0, 500)
        until(lambda: len(own.times()) == 500, "the readings before the backup")
        until(lambda: _behind(recorder.http) == 0, "all that other tests have left in the topics")
        made = own.script("backup", archive)
        assert made.returncode == 0, made.stderr
        assert archive.stat().st_mode & 0o077 == 0
        _send(broker, own.machine, 500, 500)
        until(lambda: len(own.times()) == 1_000, "the readings after it")

    own.drop()
    own.create()
    restored = own.script("restore", archive)
    assert restored.returncode == 0, restored.stderr
    assert "the recorder goes on with sensor.readings" in restored.stdout
    assert own.times() == list(range(500))

    with services.running("recorder", settings) as recorder:
        _send(broker, own.machine, 1_000, 20)
        until(lambda: len(own.times()) == 1_020, "all readings again")
        assert own.times() == list(range(1_020))
        assert _counted(recorder.http, "stored") == 520
        assert _counted(recorder.http, "duplicate") == 0


def test_when_kafka_begins_anew_the_recorder_says_what_to_delete_and_then_goes_on(
    own: OwnDatabase, broker: KafkaBroker, services: Services, until: Until, tmp_path: Path
) -> None:
    """As in docs/operations.md; of a Kafka that was lost, the offsets alone are left."""
    settings = {"FAULTLINE_DATABASE_URL": own.url}
    _send(broker, own.machine, 2_000, 20)
    with services.running("recorder", settings):
        until(lambda: 2_019 in own.times(), "the readings")
    own.execute("UPDATE stream_offsets SET next_offset = next_offset + 1000000")
    own.execute("TRUNCATE readings, machines")
    # It may end before it was ready, or after.
    with suppress(AssertionError), services.running("recorder", settings) as recorder:
        until(lambda: recorder.process.poll() is not None, "the recorder to end")
    assert "stream_offsets" in (tmp_path / "recorder.log").read_text()
    assert own.times() == []

    own.execute("DELETE FROM stream_offsets WHERE consumer_group = 'recorder'")
    with services.running("recorder", settings):
        until(lambda: 2_019 in own.times(), "the readings again")


def test_a_database_that_is_not_empty_stays_as_it_is(own: OwnDatabase, tmp_path: Path) -> None:
    archive = tmp_path / "faultline.dump"
    assert own.script("backup", archive).returncode == 0
    refused = own.script("restore", archive)
    assert refused.returncode == 1
    assert "drop the database" in refused.stderr


def test_a_damaged_archive_is_refused(own: OwnDatabase, tmp_path: Path) -> None:
    archive = tmp_path / "faultline.dump"
    assert own.script("backup", archive).returncode == 0
    archive.write_bytes(archive.read_bytes()[:-2_000])
    own.drop()
    own.create()
    refused = own.script("restore", archive)
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    (tmp_path / "faultline.dump.sha256").unlink()
    assert "sha256 is missing" in own.script("restore", archive).stderr


def test_a_backup_that_fails_leaves_nothing(own: OwnDatabase, tmp_path: Path) -> None:
    own.drop()
    failed = own.script("backup", tmp_path)
    assert failed.returncode == 1
    assert own.name in failed.stderr
    assert list(tmp_path.iterdir()) == []
    own.create()
