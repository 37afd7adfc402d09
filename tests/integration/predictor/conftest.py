"""A machine type with a machine and versions, and what the stream says of it.

Each test has a machine type of its own. What the stream said is read from its topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from faultline import alarms as alarm_codec
from faultline import events, topics, verdicts
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import AlarmEvent
from faultline.events import ModelEvent, ModelEventKind, model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Message, Partition, Producer
from faultline.ports.registry import ModelRegistry
from faultline.readings import Reading, encode_batch, make_reading
from faultline.topics import Topic
from faultline.verdicts import Verdict, VerdictBatch
from tests.integration.versions import detector_with, write_version

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker
    from tests.integration.conftest import Running, Services, Until


@dataclass
class Said:
    """What the topics hold of one machine, in the order of its partition.

    Attributes
    ----------
    batches
        With when each was published, milliseconds since the epoch.
    """

    batches: list[tuple[int, VerdictBatch]]
    alarms: list[AlarmEvent]

    @property
    def verdicts(self) -> list[tuple[str | None, Verdict]]:
        """Each with the version that gave it."""
        return [
            (batch.model_version, verdict)
            for _, batch in self.batches
            for verdict in batch.verdicts
        ]

    def first(self) -> dict[int, Verdict]:
        """What a store makes of it: the first verdict of each reading."""
        given: dict[int, Verdict] = {}
        for _, verdict in self.verdicts:
            given.setdefault(verdict.timestamp_ms, verdict)
        return given


class World:
    """The platform, a machine type and its machine, and services one after the other.

    Attributes
    ----------
    bundles
        The folder of each version that was registered.
    """

    def __init__(
        self,
        services: Services,
        broker: KafkaBroker,
        database: PostgresDatabase,
        registry: ModelRegistry,
        folder: Path,
        until: Until,
    ) -> None:
        self.kind = f"it-{uuid4().hex[:12]}"
        self.bundles: dict[str, Path] = {}
        self.machine = f"{self.kind}/1"
        self.name = model_name(self.kind)
        self.registry = registry
        self.broker = broker
        self.database = database
        self._services = services
        self._folder = folder
        self._until = until
        self._producer: Producer = broker.producer()

    def predictor(self, **settings: str) -> AbstractContextManager[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        return self._services.running("predictor", settings)

    def recorder(self) -> AbstractContextManager[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        return self._services.running("recorder", {})

    def trainer(self, **settings: str) -> AbstractContextManager[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        return self._services.running("trainer", settings)

    def register(
        self,
        boundary: float,
        *,
        promote: bool = True,
        gate: str = "passed",
        window_rows: int = 3,
        centre: float = 0.0,
    ) -> str:
        """Register a version as the trainer would, and promote it; returns its number."""
        detector = detector_with(boundary, window_rows=window_rows, centre=centre)
        made = write_version(self._folder / uuid4().hex, self.kind, detector)
        run_id = self.registry.log_run(made.run)
        version = self.registry.register(
            self.name, run_id, {"bundle_sha256": made.bundle_sha256, "gate": gate}, "A test's."
        ).version
        self.bundles[version] = made.bundle
        if promote:
            self.registry.promote(self.name, version)
        return version

    def send(self, seconds: Sequence[int], value: float = 0.1, machine: str | None = None) -> None:
        """Send a reading per second, in batches of five."""
        readings = [self.reading(second, value, machine) for second in seconds]
        for start in range(0, len(readings), 5):
            self.publish(readings[start : start + 5])
        self._producer.flush(10.0)

    def publish(self, readings: Sequence[Reading]) -> None:
        """Hand one machine's readings to Kafka in one message."""
        key = readings[0].machine_id.encode()
        self._producer.send(topics.READINGS.name, key, encode_batch(readings))

    def announce(self, version: str) -> None:
        """Say that a version was promoted, as the trainer would."""
        event = ModelEvent(
            event_id=str(uuid4()),
            kind=ModelEventKind.PROMOTED,
            model_name=self.name,
            model_version=version,
            at_ms=0,
            actor="test",
        )
        self._producer.send(topics.MODEL_EVENTS.name, self.name.encode(), events.encode(event))
        self._producer.flush(10.0)

    def stored(self) -> int:
        """How many of the machine's readings the recorder has stored."""
        return len(self.database.fleet_store().readings(self.machine).timestamps_ms)

    def reading(self, second: int, value: float = 0.1, machine: str | None = None) -> Reading:
        return make_reading(
            machine or self.machine, second * 1_000, {"flow": value, "heat": -value}, self.kind
        )

    def said(self, machine: str | None = None) -> Said:
        """What was said of the machine so far."""
        key = machine or self.machine
        batches = [
            (message.timestamp_ms, verdicts.decode(message.value))
            for message in self.messages(topics.VERDICTS, key)
        ]
        alarms = [alarm_codec.decode(one.value) for one in self.messages(topics.ALARMS, key)]
        return Said(batches, alarms)

    def messages(self, topic: Topic, key: str) -> Iterator[Message]:
        """A topic's messages with that key."""
        for number in range(topic.partitions):
            for message in self.broker.read(Partition(topic.name, number)):
                if message.key == key.encode():
                    yield message

    def wait_for(self, seconds: Sequence[int], machine: str | None = None) -> Said:
        """Wait until each of these readings has a verdict."""
        wanted = {second * 1_000 for second in seconds}
        self._until(
            lambda: wanted <= set(self.said(machine).first()), f"verdicts on {len(wanted)} readings"
        )
        return self.said(machine)


@pytest.fixture
def world(
    platform: Endpoints,
    services: Services,
    broker: KafkaBroker,
    registry: ModelRegistry,
    tmp_path: Path,
    until: Until,
) -> Iterator[World]:
    database = PostgresDatabase(platform.database_url)
    yield World(services, broker, database, registry, tmp_path, until)
    database.dispose()
