"""A broker full of readings, and processes that work through it one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

from faultline import alarms, topics, verdicts
from faultline.adapters.memory.broker import MemoryBroker
from faultline.alarms import AlarmEvent, AlarmPolicy
from faultline.detector import Detector
from faultline.judge import Model
from faultline.ports.broker import Broker, Partition
from faultline.readings import Reading, by_machine, encode_batch, make_reading
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict
from services.predictor.contest import Contest
from services.predictor.fleet import Fleet
from services.predictor.metrics import Metrics
from services.predictor.stream import GROUP, Stream

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import MakeDetector

POLICY = AlarmPolicy(open_bad=3, open_window=5, close_good=5)
MACHINES = ("pump-1", "pump-2", "pümp/3")


class Done(threading.Event):
    """Tells the loop to stop once every reading is committed.

    Parameters
    ----------
    on_look, on_wait
        Called at every look, with the number of looks before it, and whenever the loop waits.
    at_most
        Looks after which it is told to stop all the same.
    """

    def __init__(
        self,
        bench: Bench,
        on_look: Callable[[int], None],
        on_wait: Callable[[], None],
        at_most: int | None,
    ) -> None:
        super().__init__()
        self._bench = bench
        self._on_look = on_look
        self._on_wait = on_wait
        self._at_most = at_most
        self._looks = 0

    def is_set(self) -> bool:
        self._on_look(self._looks)
        self._looks += 1
        assert self._looks < 10_000, "the loop does not get to the end of the stream"
        if self._at_most is not None and self._looks > self._at_most:
            return True
        return sum(self._bench.broker.committed(GROUP).values()) == self._bench.messages

    def wait(self, timeout: float | None = None) -> bool:
        self._on_wait()
        return self.is_set()


def _readings() -> list[Reading]:
    """Per machine: quiet, a fault, quiet again, with a late and a repeated reading in between."""
    rng = np.random.default_rng(7)
    readings = []
    for row in range(40):
        for number, machine in enumerate(MACHINES):
            value = -9.0 if 15 + number <= row < 24 + number else 0.3 * rng.normal()
            at_ms = {30: 28_000, 31: 27_500}.get(row, row * 1_000) if number else row * 1_000
            readings.append(make_reading(machine, at_ms, {"flow": value, "heat": value}, "pump"))
    return readings


def _fill(broker: MemoryBroker, readings: Sequence[Reading], size: int = 12) -> int:
    """Send the readings in batches per machine; returns how many messages that were."""
    producer = broker.producer()
    messages = 0
    for start in range(0, len(readings), size):
        for machine, group in by_machine(readings[start : start + size]).items():
            producer.send(topics.READINGS.name, machine.encode(), encode_batch(group))
            messages += 1
    producer.flush(1.0)
    return messages


@dataclass
class Stored:
    """What a store makes of the topics: the first of each identity, and every event once.

    Attributes
    ----------
    said
        All that was ever said of each identity, also by verdicts that came after the first.
    """

    verdicts: dict[tuple[str, int], Verdict]
    said: dict[tuple[str, int], set[Status]]
    events: dict[str, AlarmEvent]
    versions: set[str | None]
    messages: int


def _values(broker: MemoryBroker, topic: Topic) -> Iterator[bytes]:
    for number in range(topic.partitions):
        for message in broker.read(Partition(topic.name, number)):
            yield message.value


def _stored(broker: MemoryBroker) -> Stored:
    given: dict[tuple[str, int], Verdict] = {}
    said: dict[tuple[str, int], set[Status]] = {}
    versions: set[str | None] = set()
    messages = 0
    for value in _values(broker, topics.VERDICTS):
        batch = verdicts.decode(value)
        versions.add(batch.model_version)
        messages += 1
        for verdict in batch.verdicts:
            identity = (batch.machine_id, verdict.timestamp_ms)
            given.setdefault(identity, verdict)
            said.setdefault(identity, set()).add(verdict.status)
    events = {event.event_id: event for event in map(alarms.decode, _values(broker, topics.ALARMS))}
    return Stored(given, said, events, versions, messages)


class Bench:
    """The broker, and a process's stream on it."""

    def __init__(self, detector: Detector, readings: Sequence[Reading]) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.messages = _fill(self.broker, readings)
        self.model: Model | None = Model("faultline-pump", "1", detector)

    def stream(self, broker: Broker, clock: Any, checkpoint_s: float = 0.0) -> Stream:
        fleet = Fleet(lambda _: Contest(self.model), POLICY)
        return Stream(
            broker,
            fleet,
            metrics=Metrics(),
            clock=clock,
            batch_messages=3,
            checkpoint_s=checkpoint_s,
            retry_s=0.0,
        )

    def send(self, readings: Sequence[Reading]) -> None:
        """Send more readings."""
        self.messages += _fill(self.broker, readings)

    def stored(self) -> Stored:
        return _stored(self.broker)

    def done(
        self,
        on_look: Callable[[int], None] = lambda _: None,
        on_wait: Callable[[], None] = lambda: None,
        at_most: int | None = None,
    ) -> Done:
        return Done(self, on_look, on_wait, at_most)


class MakeBench(Protocol):
    def __call__(self, given: Sequence[Reading] = ...) -> Bench: ...


@pytest.fixture
def readings() -> Sequence[Reading]:
    return _readings()


@pytest.fixture
def make_bench(make_detector: MakeDetector, readings: Sequence[Reading]) -> MakeBench:
    def make(given: Sequence[Reading] = readings) -> Bench:
        return Bench(make_detector(), given)

    return make


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()
