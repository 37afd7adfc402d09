"""The gateway's and the recorder's processes on the real Kafka and PostgreSQL, seen from outside.

Each test has machines of its own, so that none depends on another.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from faultline import topics
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.errors import NotFound
from faultline.local.home import Endpoints
from faultline.local.stack import Stack
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading, encode, encode_batch, encode_messages, make_reading
from faultline.settings import KafkaSettings
from faultline.sources.http import HttpSink

pytestmark = pytest.mark.real

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.05
_START_MS = 1_795_000_000_000


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


class Service:
    """One process of ours, which can be killed and started again."""

    def __init__(self, name: str, environment: dict[str, str], folder: Path) -> None:
        self._name = name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**environment, f"FAULTLINE_{name.upper()}_PORT": str(port)}
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.ingest", self._name],
                env=self._environment,
                stderr=log,
            )
        until(self.ready, f"a {self._name} that is ready")

    def ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the {self._name} ended: {self._log.read_text()}"
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False, timeout=10).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def terminate(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)


class Ingest:
    """Both services, and the ways to look at what they do."""

    def __init__(self, platform: Endpoints, folder: Path) -> None:
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka,
            "FAULTLINE_DATABASE_URL": platform.database_url,
        }
        migrate(platform.database_url)
        self._database = PostgresDatabase(platform.database_url)
        self.store = self._database.fleet_store()
        self.broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=platform.kafka), "test")
        self.broker.create_topics(topics.ALL)
        self._producer = self.broker.producer()
        self.gateway = Service("gateway", environment, folder)
        self.recorder = Service("recorder", environment, folder)
        self.http = HttpSink(self.gateway.url)

    def close(self) -> None:
        self.http.close()
        self.gateway.kill()
        self.recorder.kill()
        self.broker.close()
        self._database.dispose()

    def to_topic(self, *values: bytes, key: str, topic: topics.Topic = topics.READINGS) -> None:
        for value in values:
            self._producer.send(topic.name, key.encode(), value)
        self._producer.flush(30)

    def stored(self, machine_id: str) -> list[tuple[int, float]]:
        """Time and value of each stored reading of a machine."""
        try:
            rows = self.store.readings(machine_id)
        except NotFound:
            return []
        return [
            (int(time_ms), float(values[0]))
            for time_ms, values in zip(rows.timestamps_ms, rows.values, strict=True)
        ]

    def letters(self, key: str) -> list[dict[str, str]]:
        """Headers and value of the dead letters with a key."""
        found: list[Message] = list(self.broker.read(Partition(topics.READINGS_DLQ.name, 0)))
        return [
            {
                **{name: content.decode() for name, content in message.headers},
                "value": message.value.decode("utf-8", "backslashreplace"),
            }
            for message in found
            if message.key == key.encode()
        ]


@pytest.fixture(scope="module")
def ingest(platform: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    made = Ingest(platform, tmp_path_factory.mktemp("ingest"))
    try:
        made.gateway.start()
        made.recorder.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def machine() -> str:
    return f"pump-{uuid4().hex[:10]}"


def _rows(machine_id: str, count: int, first: int = 0) -> list[Reading]:
    return [
        make_reading(machine_id, _START_MS + number * 1_000, {"pressure": float(number)})
        for number in range(first, first + count)
    ]


def _expected(readings: Sequence[Reading]) -> list[tuple[int, float]]:
    return [(each.timestamp_ms, float(each.sensors["pressure"] or 0)) for each in readings]


def test_readings_by_http_and_by_topic_are_stored_once(ingest: Ingest, machine: str) -> None:
    other = f"{machine}-b"
    by_http, by_topic = _rows(machine, 1_000), _rows(other, 1_000)
    values = [value for _, value in encode_messages(by_topic, 100, 900_000)]
    for _ in range(2):
        ingest.http.send(by_http)
        ingest.to_topic(*values, key=other)
    end = _rows(machine, 1, first=1_000) + _rows(other, 1, first=1_000)
    ingest.http.send(end)
    until(lambda: len(ingest.stored(other)) == 1_001, "the last reading")
    until(lambda: len(ingest.stored(machine)) == 1_001, "the last reading")
    assert ingest.stored(machine) == _expected([*by_http, end[0]])
    assert ingest.stored(other) == _expected([*by_topic, end[1]])
    assert (ingest.letters(machine), ingest.letters(other)) == ([], [])


def test_every_kind_of_bad_message_is_a_dead_letter_with_its_reason_and_the_stream_goes_on(
    ingest: Ingest, machine: str
) -> None:
    good = encode(_rows(machine, 1)[0])
    bad = {
        b"not json": "invalid_message",
        b"": "invalid_message",
        b"\xff\xfe": "invalid_message",
        b"[]": "invalid_message",
        b"[" * 50_000: "invalid_message",
        good.replace(machine.encode(), b""): "invalid_machine_id",
        good.replace(b'"default"', b'"Pump"'): "invalid_machine_type",
        good.replace(b"2026", b"1926"): "invalid_timestamp",
        good.replace(b"0.0", b"true"): "invalid_sensors",
        good.replace(b"0.0", b"1e101"): "invalid_sensors",
    }
    ingest.to_topic(*bad, encode_batch(_rows(machine, 1, first=5)), key=machine)
    ingest.to_topic(b'{"machine_id":7}', key=machine, topic=topics.VERDICTS)
    until(lambda: ingest.stored(machine) != [], "the good reading behind the bad ones")
    until(lambda: len(ingest.letters(machine)) >= len(bad) + 1, "every dead letter")
    letters = {letter["value"]: letter for letter in ingest.letters(machine)}
    assert {letters[value.decode("utf-8", "backslashreplace")]["reason"] for value in bad} == set(
        bad.values()
    )
    for value, reason in bad.items():
        assert letters[value.decode("utf-8", "backslashreplace")]["reason"] == reason
    assert letters['{"machine_id":7}']["reason"] == "invalid_verdict"
    assert len(ingest.letters(machine)) == len(bad) + 1


def test_a_reading_with_other_values_is_a_dead_letter_and_the_first_stays(
    ingest: Ingest, machine: str
) -> None:
    ingest.http.send(_rows(machine, 3))
    other = make_reading(machine, _START_MS + 1_000, {"pressure": 99.0})
    ingest.to_topic(encode_batch([*_rows(machine, 1, first=5), other]), key=machine)
    until(lambda: ingest.letters(machine) != [], "the conflict")
    (letter,) = ingest.letters(machine)
    assert (letter["reason"], letter["positions"]) == ("conflict", "1")
    until(lambda: len(ingest.stored(machine)) == 4, "the reading beside it")
    assert ingest.stored(machine) == _expected(_rows(machine, 3) + _rows(machine, 1, first=5))


def test_a_recorder_killed_in_the_middle_loses_and_repeats_nothing(
    ingest: Ingest, machine: str
) -> None:
    values = [value for _, value in encode_messages(_rows(machine, 20_000), 20, 900_000)]
    ingest.to_topic(*values, key=machine)
    until(lambda: len(ingest.stored(machine)) > 0, "the first batch")
    ingest.recorder.kill()
    ingest.recorder.start()
    until(lambda: len(ingest.stored(machine)) >= 20_000, "all readings")
    assert ingest.stored(machine) == _expected(_rows(machine, 20_000))
    assert ingest.store.machine(machine).readings == 20_000


def test_a_recorder_that_is_told_to_stop_ends_well_and_soon_hands_over(
    ingest: Ingest, machine: str
) -> None:
    ingest.http.send(_rows(machine, 10))
    status = ingest.recorder.terminate()
    ingest.http.send(_rows(machine, 10, first=10))
    ingest.recorder.start()
    until(lambda: len(ingest.stored(machine)) == 20, "all readings")
    assert status == 0


def test_when_kafka_restarts_nothing_that_was_accepted_is_lost(
    ingest: Ingest, platform_stack: Stack, machine: str
) -> None:
    ingest.http.send(_rows(machine, 100))
    platform_stack.restart("kafka")
    # The sink repeats what the gateway answers with 503 until it is accepted.
    for first in range(100, 200, 10):
        ingest.http.send(_rows(machine, 10, first=first))
    until(lambda: len(ingest.stored(machine)) == 200, "all readings")
    until(ingest.recorder.ready, "a recorder that is ready again")
    assert ingest.stored(machine) == _expected(_rows(machine, 200))


def test_while_the_database_is_down_the_recorder_waits_and_then_catches_up(
    ingest: Ingest, platform_stack: Stack, machine: str
) -> None:
    ingest.http.send(_rows(machine, 100))
    until(lambda: len(ingest.stored(machine)) == 100, "the readings before")
    platform_stack.restart("postgres")
    ingest.http.send(_rows(machine, 100, first=100))

    def all_stored() -> bool:
        return len(ingest.stored(machine)) == 200

    until(all_stored, "all readings")
    assert ingest.stored(machine) == _expected(_rows(machine, 200))
