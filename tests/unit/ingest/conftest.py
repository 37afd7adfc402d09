"""A broker and a database in memory, and what sends to one and reads from the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from faultline import topics
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.ports.broker import Broker, Message, Partition, Producer
from faultline.ports.stores import RecordStore
from faultline.readings import Reading, encode_messages
from faultline.retention import Retention
from services.ingest.recorder.application import Recorder
from services.ingest.recorder.dead_letters import DeadLetterQueue
from services.ingest.recorder.metrics import RecorderMetrics
from services.ingest.recorder.stream import TOPICS, BatchLimits, RecorderStream

DEADLINE_S = 20.0


class Until(threading.Event):
    """A stop that comes when a condition holds, or too late."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._condition = condition
        self._deadline = time.monotonic() + DEADLINE_S

    def is_set(self) -> bool:
        assert time.monotonic() < self._deadline, "what the test waits for has not come"
        return super().is_set() or self._condition()


class Plant:
    """The recorder's surroundings. `stream` gives a recorder as a fresh process would have it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.database = MemoryDatabase()
        self.metrics = RecorderMetrics()
        self._producer = self.broker.producer()

    def send(self, value: bytes, topic: topics.Topic = topics.READINGS, key: bytes = b"p") -> None:
        self._producer.send(topic.name, key, value).wait(1)

    def send_readings(self, *readings: Reading) -> None:
        for key, value in encode_messages(readings, 100, 900_000):
            self.send(value, key=key)

    def stream(
        self,
        *,
        broker: Broker | None = None,
        store: RecordStore | None = None,
        producer: Producer | None = None,
        rows: int = 1_000,
        linger_s: float = 0.01,
        retention: Retention = Retention(),  # noqa: B008  # Of values, and frozen.
    ) -> RecorderStream:
        clock = SystemClock()
        letters = DeadLetterQueue(producer or self.broker.producer(), clock, self.metrics)
        return RecorderStream(
            broker or self.broker,
            Recorder(
                store or self.database.record_store(), letters, self.metrics, clock, retention
            ),
            clock,
            self.metrics,
            BatchLimits(rows=rows, size_bytes=1_000_000, linger_s=linger_s),
            retry_s=0.01,
        )

    def record_all(self, stream: RecorderStream | None = None) -> None:
        """Run a recorder until it has stored every message there is."""
        self.run(stream or self.stream(), self.all_stored)

    def run(self, stream: RecorderStream, until: Callable[[], bool]) -> None:
        """Run a recorder until a condition holds."""
        stream.run(Until(until))

    def all_stored(self) -> bool:
        store = self.database.record_store()
        return all(
            store.offsets("recorder", [partition]).get(partition, 0) == self.broker.end(partition)
            for topic in TOPICS
            for partition in self.broker.partitions(topic.name)
        )

    def stored(self, machine_id: str = "p") -> list[tuple[int, float]]:
        """Time and first value of each stored reading of a machine."""
        rows = self.database.fleet_store().readings(machine_id)
        return [
            (int(time_ms), float(values[0]))
            for time_ms, values in zip(rows.timestamps_ms, rows.values, strict=True)
        ]

    def partitions(self) -> list[Partition]:
        """Partitions of the topic of readings."""
        return self.broker.partitions(topics.READINGS.name)

    def counted(self, name: str, **labels: str) -> float:
        """Value of a metric; 0 if nothing was counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def letters(self) -> list[Message]:
        return self.broker.sent(topics.READINGS_DLQ.name)

    @staticmethod
    def header(message: Message, name: str) -> str:
        return dict(message.headers)[name].decode()


@pytest.fixture
def plant() -> Iterator[Plant]:
    plant = Plant()
    yield plant
    plant.broker.close()
