"""An MQTT client that a test plays, and the bridge between it and a broker in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from faultline import topics
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker
from faultline.ports.broker import Message, Producer
from faultline.readings import Reading, decode
from services.ingest.bridge.alignment import Grid
from services.ingest.bridge.application import Bridge
from services.ingest.bridge.fleet import Fleet
from services.ingest.bridge.intake import Arrival, Intake
from services.ingest.bridge.metrics import BridgeMetrics
from services.ingest.bridge.stream import BridgeStream
from services.ingest.bridge.subscriptions import Subscription

DEADLINE_S = 20.0
SUBSCRIPTIONS = (
    Subscription(topic="plant/+/{machine}/{sensor}", machine_type="pump"),
    Subscription(topic="factory/{machine}/json"),
    Subscription(topic="typed/{machine_type}/{machine}"),
)


class PlayedInlet:
    """Acknowledges into a list."""

    def __init__(self) -> None:
        self.opened = False
        self.closed = False
        self.acknowledged: list[Arrival] = []

    def open(self) -> None:
        self.opened = True

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self.acknowledged += arrivals

    def check(self) -> str | None:
        return None

    def close(self) -> None:
        self.closed = True


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
    """The bridge's surroundings. `bridge` gives one as a fresh process would have it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.metrics = BridgeMetrics()
        self.inlet = PlayedInlet()
        self.intake = Intake(1_000, 1_000_000)
        self._numbers = 0

    def until(self, condition: Callable[[], bool]) -> Until:
        return Until(condition)

    def arrival(
        self, topic: str, payload: bytes, at_ms: int = 10_500, *, retained: bool = False
    ) -> Arrival:
        self._numbers += 1
        return Arrival(topic, payload, self._numbers, 1, 1, retained, at_ms)

    def bridge(self, producer: Producer | None = None) -> Bridge:
        fleet = Fleet({"default": Grid(1_000, 60_000, 200)}, 100)
        producer = producer or self.broker.producer()
        return Bridge("test", SUBSCRIPTIONS, fleet, producer, self.metrics)

    def stream(self, bridge: Bridge) -> BridgeStream:
        return BridgeStream(
            self.broker,
            bridge,
            self.inlet,
            self.intake,
            clock=SystemClock(),
            metrics=self.metrics,
            retry_s=0.01,
        )

    def readings(self) -> list[Reading]:
        return [
            reading
            for message in self.broker.sent(topics.READINGS.name)
            for reading in decode(message.value).readings
        ]

    def letters(self) -> list[Message]:
        return self.broker.sent(topics.READINGS_DLQ.name)

    def machines(self) -> float | None:
        return self.metrics.registry.get_sample_value("faultline_bridge_machines")

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"faultline_bridge_{name}_total", labels)


@pytest.fixture
def plant() -> Plant:
    return Plant()
