"""Topics in memory, the loop that follows them, and clients that read what goes over the wire."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from faultline import alarms, drift, events, topics, verdicts
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.feed import MemoryFeed
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.feed import Feed
from faultline.readings import parse_timestamp
from faultline.verdicts import SensorContribution, Status, Verdict, VerdictBatch
from services.predictor.live import LiveEvents
from services.predictor.live_client import LiveClient, Readers
from services.predictor.live_events import Wanted
from services.predictor.metrics import Metrics

_DEADLINE_S = 20.0
_PART = SensorContribution(
    sensor="flow", share=1.0, observed=9.0, expected=1.0, expected_low=0.0, expected_high=2.0,
    direction="high",
)  # fmt: skip


@dataclass
class Event:
    """As a client reads it."""

    name: str | None = None
    data: Any = None
    id: str | None = None
    comments: list[str] = field(default_factory=list)
    retry: int | None = None


def parsed(frame: str) -> Event:
    event = Event()
    for line in frame.split("\n"):
        name, _, value = line.partition(": ")
        match name:
            case "":
                event.comments.append(value)
            case "event":
                event.name = value
            case "data":
                event.data = json.loads(value)
            case "id":
                event.id = value
            case "retry":
                event.retry = int(value)
    return event


class Client:
    """Reads a stream event by event."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._text = ""
        self.last_id: str | None = None

    async def read(self) -> Event:
        """The next event, comments too."""
        async with asyncio.timeout(_DEADLINE_S):
            while "\n\n" not in self._text:
                self._text += (await anext(self._chunks)).decode()
        frame, _, self._text = self._text.partition("\n\n")
        event = parsed(frame)
        self.last_id = event.id or self.last_id
        return event

    async def events(self, count: int) -> list[Event]:
        """The next events that are some, without comments."""
        found: list[Event] = []
        while len(found) < count:
            event = await self.read()
            if event.name is not None:
                found.append(event)
        return found

    async def times(self, count: int) -> list[int]:
        """The times of the next verdicts, which are one to an event; milliseconds."""
        return [_ms(event.data["verdicts"][0]["timestamp"]) for event in await self.events(count)]

    async def joined(self) -> str:
        """The id from which on events come."""
        while self.last_id is None:
            await self.read()
        return self.last_id

    async def ended(self) -> bool:
        async with asyncio.timeout(_DEADLINE_S):
            async for _ in self._chunks:
                pass
        return True


def _ms(timestamp: str) -> int:
    return parse_timestamp(timestamp)


class Rig:
    """One broker, and as many replicas on it as a test makes."""

    wanted = Wanted

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self._producer = self.broker.producer()
        self.readers = Readers(most_open=1)

    def verdict(
        self,
        *times_ms: int,
        machine: str = "pump-1",
        kind: str = "pump",
        status: Status = Status.NORMAL,
    ) -> VerdictBatch:
        """Say something of a machine, in one message."""
        batch = VerdictBatch(
            machine_id=machine,
            machine_type=kind,
            verdicts=tuple(
                Verdict(timestamp_ms=time_ms, status=status, score=2.5, contributions=(_PART,))
                for time_ms in times_ms
            ),
            model_name="faultline-pump",
            model_version="3",
        )
        self._send(topics.VERDICTS, machine, verdicts.encode(batch))
        return batch

    def alarm(self, event_id: str = "e-1", machine: str = "pump-1") -> Alarm:
        alarm = Alarm(
            alarm_id="a-1", machine_id=machine, machine_type="pump", state=AlarmState.OPEN,
            began_at_ms=1, opened_at_ms=2, updated_at_ms=2, peak_score=2.5, peak_at_ms=2,
            top_sensors=(_PART,), bad_readings=6, model_name="faultline-pump", model_version="3",
        )  # fmt: skip
        event = AlarmEvent(event_id=event_id, kind=AlarmEventKind.OPENED, alarm=alarm)
        self._send(topics.ALARMS, machine, alarms.encode(event))
        return alarm

    def model(self, name: str = "faultline-pump") -> None:
        event = ModelEvent(
            event_id="m-1", kind=ModelEventKind.PROMOTED, model_name=name, model_version="4",
            at_ms=0, actor="gate", previous_version="3",
        )  # fmt: skip
        self._send(topics.MODEL_EVENTS, name, events.encode(event))

    def drift(self, kind: str = "pump") -> DriftEvent:
        found = Finding(
            kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.25, before="median 4.1",
            after="median 5",
        )  # fmt: skip
        event = DriftEvent(
            event_id="d-1", machine_type=kind, model_name=f"faultline-{kind}", model_version="3",
            at_ms=3_000, findings=(found,), start_ms=1_000, end_ms=2_000, readings=500,
        )  # fmt: skip
        self._send(topics.DRIFT_EVENTS, kind, drift.encode(event))
        return event

    def raw(self, topic: topics.Topic, value: bytes) -> None:
        self._send(topic, "pump-1", value)

    def _send(self, topic: topics.Topic, key: str, value: bytes) -> None:
        self._producer.send(topic.name, key.encode(), value)
        self._producer.flush(1.0)

    @contextmanager
    def replica(self, feed: Feed | None = None, **options: Any) -> Iterator[LiveEvents]:
        """A replica's loop."""
        feed = feed or MemoryFeed(self.broker)
        live = LiveEvents(feed, metrics=Metrics(), retry_s=0.01, **options)
        stop = threading.Event()
        thread = threading.Thread(target=live.run, args=(stop,))
        thread.start()
        try:
            yield live
        finally:
            stop.set()
            thread.join(_DEADLINE_S)
            assert not thread.is_alive()

    @asynccontextmanager
    async def client(
        self,
        live: LiveEvents,
        wanted: Wanted | None = None,
        last_id: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Client]:
        """A client of it."""
        client = LiveClient(live, self.readers, **options)
        try:
            yield Client(client.stream(wanted or Wanted(), last_id))
        finally:
            await client.close()

    @staticmethod
    def count(live: LiveEvents, kind: str, outcome: str) -> float:
        labels = {"kind": kind, "outcome": outcome}
        found = live.metrics.registry.get_sample_value(
            "faultline_predictor_live_events_total", labels
        )
        return found or 0.0

    @staticmethod
    async def until(done: Callable[[], bool]) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while not done():
                await asyncio.sleep(0.005)


@pytest.fixture
def rig() -> Rig:
    return Rig()
