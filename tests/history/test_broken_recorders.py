"""The checker catches recorders that are wrong on purpose, and finds nothing at a sound one.

All are killed at the same point: between the two things that belong in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import text

from faultline import topics
from faultline.adapters.broker import open_broker
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.readings import encode_batch, make_reading
from faultline.settings import KafkaSettings
from tests.history.checker import check_readings
from tests.history.findings import Kind
from tests.history.observation import Observer
from tests.history.operations import History, Operation, Outcome, Way
from tests.history.plan import START_MS, STEP_MS
from tests.history.platform import Platform, execute, running_platform
from tests.history.processes import Service, until
from tests.history.proxy import says

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

_ROWS = 10


class Rig:
    """A platform and a client that writes to the topic; each recorder has a database of its own.

    A new database is filled from the beginning of the topic, so the history goes on through all.
    """

    def __init__(self, platform: Platform, folder: Path) -> None:
        settings = KafkaSettings(kafka_bootstrap_servers=platform.stack.endpoints.kafka)
        self.platform = platform
        self.to_postgres = platform.to_postgres["recorder"]
        self.history = History()
        self._broker = open_broker(settings, "test")
        self._broker.create_topics(topics.ALL)
        self._producer = self._broker.producer()
        self._folder = folder

    def close(self) -> None:
        self._broker.close()

    @contextmanager
    def recording(self, variant: str) -> Iterator[Recording]:
        name = f"rig_{uuid4().hex}"
        execute(self.platform.stack.endpoints.database_url, f'CREATE DATABASE "{name}"')
        url = self.platform.database_url("recorder", name)
        migrate(url)
        database = PostgresDatabase(url)
        environment = {
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": self.platform.stack.endpoints.kafka,
            "FAULTLINE_DATABASE_URL": url,
            # The group waits so long for the one that was killed.
            "FAULTLINE_KAFKA_SESSION_TIMEOUT_S": "6",
        }
        process = Service("recorder", ["tests.history.broken", variant], environment, self._folder)
        try:
            yield Recording(process, database, Observer(self._broker, database))
        finally:
            process.kill()
            database.dispose()

    def send(self, batches: int) -> None:
        for _ in range(batches):
            start = len(self.history.operations) * _ROWS
            rows = [
                make_reading("pump", START_MS + row * STEP_MS, {"flow": float(row)})
                for row in range(start, start + _ROWS)
            ]
            operation = Operation("pump", Way.TOPIC, encode_batch(rows), rows)
            self.history.record(operation, self._attempt)

    def _attempt(self, operation: Operation) -> Outcome:
        self._producer.send(topics.READINGS.name, b"pump", operation.value).wait(30.0)
        return Outcome.ACKNOWLEDGED


class Recording(NamedTuple):
    """A recorder of some variant, and what it has written."""

    process: Service
    database: PostgresDatabase
    observer: Observer

    def wait(self) -> None:
        until(lambda: self.observer.is_recorded([topics.READINGS]), "the end of the topic")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ExitStack() as open_:
        platform = open_.enter_context(
            running_platform(("kafka", "postgres"), postgres_of=("recorder",))
        )
        yield open_.enter_context(closing(Rig(platform, tmp_path_factory.mktemp("rig"))))


@pytest.mark.parametrize(
    ("variant", "killed_at", "caught"),
    [
        # The rows are on their way when the offsets are, or are not, committed.
        ("sound", "COPY incoming_readings", set()),
        ("offsets-first", "COPY incoming_readings", {Kind.LOST}),
        # The rows are in; the offsets are on their way.
        ("sound", "UPDATE stream_offsets", set()),
        ("offsets-apart", "UPDATE stream_offsets", {Kind.DUPLICATED}),
    ],
)
def test_a_recorder_killed_between_rows_and_offsets(
    rig: Rig, variant: str, killed_at: str, caught: set[Kind]
) -> None:
    with rig.recording(variant) as recording:
        if variant == "offsets-apart":
            with recording.database.transaction() as connection:
                connection.execute(text("ALTER TABLE readings DROP CONSTRAINT pk_readings"))
        rig.send(batches=20)
        recording.process.restart()
        recording.wait()
        with rig.to_postgres.catching(says(killed_at), delivers=False) as trap:
            rig.send(batches=20)
            until(trap.sprung.is_set, f"a recorder at {killed_at}")
            recording.process.kill()
        recording.process.restart()
        recording.wait()
        findings = check_readings(rig.history.operations, recording.observer.observe("none"))
        assert {finding.kind for finding in findings} == caught
