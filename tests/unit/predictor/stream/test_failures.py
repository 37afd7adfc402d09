"""The stream loop: whatever breaks, and wherever, nothing is lost and nothing comes out twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from faultline.adapters.memory.broker import MemoryBroker
from faultline.errors import Unavailable
from faultline.judge import Model
from faultline.ports.broker import (
    Consumer,
    Delivery,
    Headers,
    Message,
    Partition,
    Producer,
    RebalanceListener,
)
from faultline.readings import Reading
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import MakeDetector
    from tests.unit.predictor.stream.conftest import Bench, MakeBench, Stored

MACHINES = ("pump-1", "pump-2", "pümp/3")
# So many looks are enough to get to the end of what was sent, committed or not.
_PATIENT = 60


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Fault:
    """Something that happens at one operation of the broker.

    Attributes
    ----------
    at
        The operation's number, from 0.
    when
        ``before`` it takes effect, ``after`` it has, or ``half`` way through a flush.
    deadly
        The process ends; else the broker is unavailable once.
    """

    at: int
    when: str
    deadly: bool
    count: int = 0
    operations: list[str] = field(default_factory=list)
    happened: bool = False

    def __call__(self, operation: str, moments: Sequence[str]) -> None:
        """Break if this is the operation, at one of these moments of it."""
        if self.deadly and self.happened:
            raise Killed
        if moments[0] == "before":
            self.operations.append(operation)
            self.count += 1
        if self.count - 1 == self.at and self.when in moments and not self.happened:
            self.happened = True
            raise Killed if self.deadly else Unavailable(f"{operation} was broken off")


class FaultyBroker:
    """A broker whose operations can break. What is sent arrives when it is flushed."""

    def __init__(self, broker: MemoryBroker, fault: Fault) -> None:
        self._broker = broker
        self._fault = fault

    def producer(self) -> Producer:
        return FaultyProducer(self._broker.producer(), self._fault)

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> Consumer:
        return FaultyConsumer(self._broker, group, topics, listener, self._fault)

    def read(self, partition: Partition) -> Iterator[Message]:
        self._fault("read", ["before"])
        yield from self._broker.read(partition)
        self._fault("read", ["after"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


class FaultyProducer:
    def __init__(self, producer: Producer, fault: Fault) -> None:
        self._producer = producer
        self._fault = fault
        self._waiting: list[tuple[str, bytes | None, bytes, Headers, int | None]] = []

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        self._fault(f"send {topic}", ["before"])
        self._waiting.append((topic, key, value, headers, partition))
        self._fault(f"send {topic}", ["after"])
        return NoDelivery()

    def flush(self, timeout_s: float) -> None:
        self._fault("flush", ["before"])
        middle = len(self._waiting) // 2
        self._deliver(middle)
        self._fault("flush", ["half"])
        self._deliver(len(self._waiting))
        self._producer.flush(timeout_s)
        self._fault("flush", ["after"])

    def _deliver(self, count: int) -> None:
        for message in self._waiting[:count]:
            self._producer.send(*message)
        del self._waiting[:count]

    def close(self) -> None:
        self._producer.close()


class NoDelivery:
    def wait(self, timeout_s: float) -> None:
        raise AssertionError("the stream waits by flush")


class FaultyConsumer:
    def __init__(
        self,
        broker: MemoryBroker,
        group: str,
        topics: Sequence[Topic],
        listener: RebalanceListener | None,
        fault: Fault,
    ) -> None:
        self._listener = listener
        self._fault = fault
        self._consumer = broker.consumer(group, topics, self)

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        if self._listener is not None:
            self._listener.assigned(self, partitions)

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        # A process that is gone is not asked.
        if self._listener is not None and not (self._fault.deadly and self._fault.happened):
            self._listener.revoked(self, partitions)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        if self._listener is not None and not (self._fault.deadly and self._fault.happened):
            self._listener.lost(self, partitions)

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        self._fault("poll", ["before"])
        messages = self._consumer.poll(0.0, max_messages)
        self._fault("poll", ["after"])
        return messages

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._fault("commit", ["before"])
        self._consumer.commit(offsets)
        self._fault("commit", ["after"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


def _undisturbed(make_bench: MakeBench, clock: Any) -> Stored:
    bench = make_bench()
    bench.stream(bench.broker, clock).run(bench.done())
    return bench.stored()


def _operations(bench: Bench, clock: Any, checkpoint_s: float) -> list[list[str]]:
    """The broker's operations, cut at every poll."""
    fault = Fault(at=10**9, when="before", deadly=False)
    bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s).run(
        bench.done(at_most=_PATIENT)
    )
    cycles: list[list[str]] = []
    for operation in fault.operations:
        if operation == "poll":
            cycles.append([])
        elif cycles and (not cycles[-1] or cycles[-1][-1] != operation):
            cycles[-1].append(operation)
    return cycles


def test_verdicts_come_before_snapshots_and_snapshots_before_the_commit(
    bench: Bench, clock: Any
) -> None:
    cycles = {tuple(cycle) for cycle in _operations(bench, clock, checkpoint_s=0.0)}
    kept = ("flush", "send predictor.state", "flush", "commit")
    assert ("send sensor.verdicts", *kept) in cycles
    assert ("send sensor.verdicts", "send sensor.alarms", *kept) in cycles


def test_between_two_checkpoints_only_an_alarm_brings_one(bench: Bench, clock: Any) -> None:
    cycles = _operations(bench, clock, checkpoint_s=1e9)
    with_alarm = ["send sensor.alarms" in cycle for cycle in cycles[:-1]]
    assert [cycle[-1:] == ["commit"] for cycle in cycles[:-1]] == with_alarm
    assert any(with_alarm)
    assert cycles[-1][-1] == "commit"


@pytest.mark.parametrize("checkpoint_s", [0.0, 1e9], ids=["always", "when urgent"])
@pytest.mark.parametrize("deadly", [True, False], ids=["killed", "unavailable"])
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_failure_at_any_point_loses_nothing_and_doubles_nothing(
    make_bench: MakeBench, clock: Any, when: str, deadly: bool, checkpoint_s: float
) -> None:
    expected = _undisturbed(make_bench, clock)
    at = 0
    while True:
        fault = Fault(at, when, deadly)
        bench = make_bench()
        try:
            faulty = bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s)
            faulty.run(bench.done(at_most=_PATIENT))
        except Killed:
            bench.stream(bench.broker, clock).run(bench.done())
        if at >= fault.count:
            break
        stored = bench.stored()
        where = f"{fault.operations[at]}, operation {at}"
        assert stored.verdicts == expected.verdicts, where
        assert stored.said == expected.said, where
        assert stored.events == expected.events, where
        at += 1
    assert at > 30


def test_while_the_broker_is_away_the_stream_says_why(bench: Bench, clock: Any) -> None:
    said: list[str | None] = []

    # By then the partitions are restored and the first verdicts are on their way.
    first_flush = 6 + len(MACHINES) + 1
    fault = Fault(first_flush, "half", deadly=False)
    stream = bench.stream(FaultyBroker(bench.broker, fault), clock)
    stream.run(bench.done(on_wait=lambda: said.append(stream.trouble())))
    assert fault.operations[first_flush] == "flush"
    assert said == ["flush was broken off"]
    assert stream.trouble() is None


def test_a_new_version_brings_a_checkpoint_at_once(
    clock: Any, make_detector: MakeDetector, make_bench: MakeBench, readings: Sequence[Reading]
) -> None:
    quiet = [reading for reading in readings if reading.timestamp_ms < 12_000]
    bench = make_bench(quiet)

    def promote(looks: int) -> None:
        if looks == 2:
            bench.model = Model("faultline-pump", "2", make_detector(boundary=3.0))

    fault = Fault(at=10**9, when="before", deadly=False)
    stream = bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s=1e9)
    stream.run(bench.done(promote, at_most=_PATIENT))
    assert bench.stored().versions == {"1", "2"}
    with_the_version, at_the_end = (
        at for at, operation in enumerate(fault.operations) if operation == "commit"
    )
    assert "poll" in fault.operations[with_the_version:at_the_end]


def test_without_a_broker_the_stream_is_in_trouble_and_says_why(bench: Bench, clock: Any) -> None:
    stream = bench.stream(bench.broker, clock)
    assert stream.trouble() == "not yet a member of the consumer group"
