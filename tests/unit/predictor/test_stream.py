"""The stream loop: whatever breaks, and wherever, nothing is lost and nothing comes out twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from faultline import alarms, topics, verdicts
from faultline.adapters.memory.broker import MemoryBroker
from faultline.alarms import AlarmEvent, AlarmPolicy
from faultline.detector import Detector
from faultline.errors import Unavailable
from faultline.judge import Model
from faultline.ports.broker import (
    Broker,
    Consumer,
    Delivery,
    Headers,
    Message,
    Partition,
    Producer,
    RebalanceListener,
)
from faultline.readings import Reading, by_machine, encode_batch, make_reading
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict, VerdictBatch
from services.predictor.contest import Contest
from services.predictor.fleet import Fleet
from services.predictor.metrics import Metrics
from services.predictor.stream import GROUP, MAX_VERDICT_BYTES, MAX_VERDICTS, Stream, chunks

POLICY = AlarmPolicy(open_bad=3, open_window=5, close_good=5)
MACHINES = ("pump-1", "pump-2", "pümp/3")

MakeDetector = Callable[..., Detector]


class Killed(BaseException):
    """The process ends here."""


class Done(threading.Event):
    """Tells the loop to stop once every reading is committed."""

    def __init__(self, broker: MemoryBroker, messages: int) -> None:
        super().__init__()
        self._broker = broker
        self._messages = messages
        self._looks = 0

    def is_set(self) -> bool:
        self._looks += 1
        assert self._looks < 10_000, "the loop does not get to the end of the stream"
        return sum(self._broker.committed(GROUP).values()) == self._messages

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


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


# What goes in and what comes out ---------------------------------------------------------------


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
    """A broker full of readings, and processes that work through it one after the other."""

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

    def done(self) -> Done:
        return Done(self.broker, self.messages)


@pytest.fixture
def bench(make_detector: MakeDetector) -> Bench:
    return Bench(make_detector(), _readings())


def _undisturbed(make_detector: MakeDetector, clock: Any) -> Stored:
    bench = Bench(make_detector(), _readings())
    bench.stream(bench.broker, clock).run(bench.done())
    return _stored(bench.broker)


def test_every_reading_gets_a_verdict_and_every_fault_an_alarm(bench: Bench, clock: Any) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    stored = _stored(bench.broker)
    identities = {reading.identity for reading in _readings()}
    assert set(stored.verdicts) == identities
    assert {event.alarm.machine_id for event in stored.events.values()} == set(MACHINES)
    statuses = {verdict.status for verdict in stored.verdicts.values()}
    assert statuses == {Status.NORMAL, Status.FAILURE, Status.WARMING_UP, Status.LATE}


def test_alarms_carry_their_machines_key(bench: Bench, clock: Any) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    for number in range(topics.ALARMS.partitions):
        for message in bench.broker.read(Partition(topics.ALARMS.name, number)):
            assert message.key == alarms.decode(message.value).alarm.machine_id.encode()


def test_an_opened_alarm_is_logged_with_its_sentence(bench: Bench, clock: Any) -> None:
    with capture_logs() as logs:
        bench.stream(bench.broker, clock).run(bench.done())
    told = {entry["machine"]: entry["why"] for entry in logs if entry["event"] == "alarm opened"}
    assert set(told) == set(MACHINES)
    assert all(why.startswith(f"{machine}: ") for machine, why in told.items())
    assert all("% of the deviation" in why for why in told.values())


def _operations(bench: Bench, clock: Any, checkpoint_s: float) -> list[list[str]]:
    """The broker's operations, cut at every poll."""
    fault = Fault(at=10**9, when="before", deadly=False)
    bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s).run(_Patient(bench))
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


def test_a_second_process_goes_on_where_the_first_stopped(bench: Bench, clock: Any) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    before = _stored(bench.broker).messages
    more = [
        make_reading(machine, second * 1_000, {"flow": 0.0, "heat": 0.0}, "pump")
        for machine in MACHINES
        for second in (60, 61)
    ]
    bench.messages += _fill(bench.broker, more)
    bench.stream(bench.broker, clock).run(bench.done())
    stored = _stored(bench.broker)
    assert stored.messages == before + len(MACHINES)
    assert {stored.verdicts[reading.identity].status for reading in more} == {Status.NORMAL}


@pytest.mark.parametrize("checkpoint_s", [0.0, 1e9], ids=["always", "when urgent"])
@pytest.mark.parametrize("deadly", [True, False], ids=["killed", "unavailable"])
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_failure_at_any_point_loses_nothing_and_doubles_nothing(
    make_detector: MakeDetector, clock: Any, when: str, deadly: bool, checkpoint_s: float
) -> None:
    expected = _undisturbed(make_detector, clock)
    at = 0
    while True:
        fault = Fault(at, when, deadly)
        bench = Bench(make_detector(), _readings())
        try:
            faulty = bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s)
            faulty.run(_Patient(bench))
        except Killed:
            bench.stream(bench.broker, clock).run(bench.done())
        if at >= fault.count:
            break
        stored = _stored(bench.broker)
        where = f"{fault.operations[at]}, operation {at}"
        assert stored.verdicts == expected.verdicts, where
        assert stored.said == expected.said, where
        assert stored.events == expected.events, where
        at += 1
    assert at > 30


class _Patient(Done):
    """Stops at the end of what was sent, committed or not: the last checkpoint comes then."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.broker, bench.messages)
        self._idle = 0

    def is_set(self) -> bool:
        self._idle += 1
        return self._idle > 60 or super().is_set()


def test_while_the_broker_is_away_the_stream_says_why(bench: Bench, clock: Any) -> None:
    said: list[str | None] = []

    class Listening(Done):
        def wait(self, timeout: float | None = None) -> bool:
            said.append(stream.trouble())
            return super().wait(timeout)

    # By then the partitions are restored and the first verdicts are on their way.
    first_flush = 6 + len(MACHINES) + 1
    fault = Fault(first_flush, "half", deadly=False)
    stream = bench.stream(FaultyBroker(bench.broker, fault), clock)
    stream.run(Listening(bench.broker, bench.messages))
    assert fault.operations[first_flush] == "flush"
    assert said == ["flush was broken off"]
    assert stream.trouble() is None


def test_a_new_version_brings_a_checkpoint_at_once(clock: Any, make_detector: MakeDetector) -> None:
    quiet = [reading for reading in _readings() if reading.timestamp_ms < 12_000]
    bench = Bench(make_detector(), quiet)

    class Promoting(_Patient):
        def is_set(self) -> bool:
            if self._idle == 2:
                bench.model = Model("faultline-pump", "2", make_detector(boundary=3.0))
            return super().is_set()

    fault = Fault(at=10**9, when="before", deadly=False)
    stream = bench.stream(FaultyBroker(bench.broker, fault), clock, checkpoint_s=1e9)
    stream.run(Promoting(bench))
    assert _stored(bench.broker).versions == {"1", "2"}
    with_the_version, at_the_end = (
        at for at, operation in enumerate(fault.operations) if operation == "commit"
    )
    assert "poll" in fault.operations[with_the_version:at_the_end]


def test_a_new_version_judges_whole_batches_and_is_named_by_them(
    bench: Bench, clock: Any, make_detector: MakeDetector
) -> None:
    class Promoting(Done):
        def is_set(self) -> bool:
            if self._looks == 5:
                bench.model = Model("faultline-pump", "2", make_detector(boundary=3.0))
            return super().is_set()

    bench.stream(bench.broker, clock).run(Promoting(bench.broker, bench.messages))
    stored = _stored(bench.broker)
    assert stored.versions == {"1", "2"}
    assert sum(v.status is Status.WARMING_UP for v in stored.verdicts.values()) == 2 * len(MACHINES)


def test_the_first_version_scores_machines_that_were_seen_before_it(
    bench: Bench, clock: Any
) -> None:
    model, bench.model = bench.model, None
    bench.stream(bench.broker, clock).run(bench.done())
    bench.model = model
    more = [
        make_reading(machine, 41_000, {"flow": 0.0, "heat": 0.0}, "pump") for machine in MACHINES
    ]
    bench.messages += _fill(bench.broker, more)
    bench.stream(bench.broker, clock).run(bench.done())
    stored = _stored(bench.broker)
    assert {stored.verdicts[reading.identity].status for reading in more} == {Status.NORMAL}


def test_a_message_that_cannot_be_read_does_not_stop_the_stream(bench: Bench, clock: Any) -> None:
    bench.broker.producer().send(topics.READINGS.name, MACHINES[0].encode(), b"\xff{")
    bench.messages += 1
    bench.messages += _fill(
        bench.broker, [make_reading(MACHINES[0], 50_000, {"flow": 0.0, "heat": 0.0}, "pump")]
    )
    bench.stream(bench.broker, clock).run(bench.done())
    assert (MACHINES[0], 50_000) in _stored(bench.broker).verdicts


def test_without_a_broker_the_stream_is_in_trouble_and_says_why(bench: Bench, clock: Any) -> None:
    stream = bench.stream(bench.broker, clock)
    assert stream.trouble() == "not yet a member of the consumer group"


# Messages stay small ---------------------------------------------------------------------------


def _batch(count: int, sensors: int = 0) -> VerdictBatch:
    health = {f"{'long-name-' * 10}{number}": "missing" for number in range(sensors)}
    given = tuple(
        Verdict(timestamp_ms=number, status=Status.NORMAL, health=health) for number in range(count)
    )
    return VerdictBatch(machine_id="a", machine_type="pump", verdicts=given, model_version="1")


def test_a_long_batch_is_cut_into_messages_in_order() -> None:
    parts = [verdicts.decode(value) for value in chunks(_batch(2 * MAX_VERDICTS + 1))]
    assert [len(part.verdicts) for part in parts] == [MAX_VERDICTS, MAX_VERDICTS, 1]
    times = [verdict.timestamp_ms for part in parts for verdict in part.verdicts]
    assert times == list(range(2 * MAX_VERDICTS + 1))


def test_a_heavy_batch_is_cut_until_each_message_is_small() -> None:
    values = list(chunks(_batch(40, sensors=300)))
    assert len(values) > 1
    assert max(map(len, values)) <= MAX_VERDICT_BYTES
    assert sum(len(verdicts.decode(value).verdicts) for value in values) == 40


class _Evicting(threading.Event):
    """Throws the group out after a few turns of the loop, and ends it a turn later."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__()
        self._broker = broker
        self._turn = 0
        self.snapshots: list[int] = []

    def is_set(self) -> bool:
        self._turn += 1
        if self._turn == 5:
            self._broker.evict(GROUP)
        if self._turn >= 5:
            self.snapshots.append(len(self._broker.sent(topics.PREDICTOR_STATE.name)))
        return self._turn > 5


def test_a_member_that_was_thrown_out_publishes_no_snapshots(bench: Bench, clock: Any) -> None:
    evicting = _Evicting(bench.broker)
    bench.stream(bench.broker, clock, checkpoint_s=1e9).run(evicting)
    before, after = evicting.snapshots[:2]
    assert before == after
    assert bench.broker.sent(topics.VERDICTS.name)


def test_snapshots_lie_beside_the_readings_wherever_their_sender_put_them(
    bench: Bench, clock: Any
) -> None:
    broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    producer = broker.producer()
    messages = bench.broker.sent(topics.READINGS.name)
    for message in messages:
        number = (message.partition.number + 1) % topics.READINGS.partitions
        producer.send(topics.READINGS.name, message.key, message.value, partition=number)
    producer.flush(1)
    bench.stream(broker, clock).run(Done(broker, len(messages)))
    places = {
        name: {(each.key, each.partition.number) for each in broker.sent(name)}
        for name in (topics.READINGS.name, topics.PREDICTOR_STATE.name)
    }
    assert places[topics.PREDICTOR_STATE.name] == places[topics.READINGS.name]
