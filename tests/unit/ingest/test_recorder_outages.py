"""Whatever fails, and wherever the recorder is killed: each message once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from faultline import topics, verdicts
from faultline.adapters.memory.broker import MemoryProducer
from faultline.errors import FaultlineError, Unavailable
from faultline.ports.broker import Delivery, Headers, Partition, Producer
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded, RecordStore
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status, Verdict, VerdictBatch
from services.ingest.recorder.stream import RecorderStream

if TYPE_CHECKING:
    from tests.unit.ingest.conftest import Plant


class Killed(BaseException):
    """The process ends here: nothing after it is done."""


def _reading(at_ms: int, value: float = 1.0, machine_id: str = "p") -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


class Store:
    """A record store that does what a test says before or after the real one has worked."""

    def __init__(
        self,
        inner: RecordStore,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return self._inner.offsets(group, partitions)

    def record(
        self,
        group: str,
        batch: RecordBatch,
        on_conflicts: Callable[[Sequence[int]], None],
    ) -> Recorded:
        self._before()
        recorded = self._inner.record(group, batch, on_conflicts)
        self._after()
        return recorded


class Sender:
    """A producer that does what a test says before or after the real one has worked."""

    def __init__(
        self,
        inner: Producer,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        self._before()
        delivery = self._inner.send(topic, key, value, headers, partition)
        self._after()
        return delivery

    def flush(self, timeout_s: float) -> None:
        self._inner.flush(timeout_s)

    def close(self) -> None:
        self._inner.close()


class Failing:
    """A step that raises so many times."""

    def __init__(self, error: BaseException, times: int = 1) -> None:
        self._error = error
        self.left = times

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise self._error


KILLED_AT: dict[str, Callable[[Plant], RecorderStream]] = {
    "before a dead letter is sent": lambda plant: plant.stream(
        producer=Sender(plant.broker.producer(), before=Failing(Killed()))
    ),
    "after a dead letter is sent": lambda plant: plant.stream(
        producer=Sender(plant.broker.producer(), after=Failing(Killed()))
    ),
    "before the transaction": lambda plant: plant.stream(
        store=Store(plant.database.record_store(), before=Failing(Killed()))
    ),
    "after the transaction": lambda plant: plant.stream(
        store=Store(plant.database.record_store(), after=Failing(Killed()))
    ),
}


@pytest.mark.parametrize("step", KILLED_AT)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_a_recorder_killed_at_any_step_stores_everything_exactly_once(
    plant: Plant, step: str, rows: int
) -> None:
    for number in range(5):
        plant.send_readings(_reading(number))
        plant.send(b"bad %d" % number)
        verdict = Verdict(timestamp_ms=number, status=Status.NORMAL, score=0.5)
        batch = VerdictBatch(machine_id="p", machine_type="pump", verdicts=(verdict,))
        plant.send(verdicts.encode(batch), topics.VERDICTS)
    with pytest.raises(Killed):
        plant.record_all(KILLED_AT[step](plant))
    plant.record_all(plant.stream(rows=rows))
    assert plant.stored() == [(number, 1.0) for number in range(5)]
    assert len(plant.database.fleet_store().verdicts("p")) == 5
    assert {letter.value for letter in plant.letters()} == {b"bad %d" % n for n in range(5)}


def test_a_recorder_killed_while_it_writes_a_conflict_stores_nothing_of_that_batch(
    plant: Plant,
) -> None:
    plant.send_readings(_reading(1, 1.0))
    plant.record_all()
    plant.send_readings(_reading(1, 5.0), _reading(2))
    with pytest.raises(Killed):
        plant.record_all(
            plant.stream(producer=Sender(plant.broker.producer(), before=Failing(Killed())))
        )
    assert plant.stored() == [(1, 1.0)]
    plant.record_all()
    assert (plant.stored(), len(plant.letters())) == ([(1, 1.0), (2, 1.0)], 1)


def test_while_the_database_is_down_the_batch_in_hand_waits_and_does_not_grow(
    plant: Plant,
) -> None:
    seen: list[Mapping[Partition, OffsetRange]] = []
    failing = Failing(Unavailable("PostgreSQL is down"), times=3)

    class Remembering(Store):
        def record(
            self,
            group: str,
            batch: RecordBatch,
            on_conflicts: Callable[[Sequence[int]], None],
        ) -> Recorded:
            seen.append(dict(batch.offsets))
            return super().record(group, batch, on_conflicts)

    def fail_while_more_comes() -> None:
        plant.send_readings(_reading(100 + len(seen)))
        failing()

    plant.send_readings(_reading(1))
    store = Remembering(plant.database.record_store(), before=fail_while_more_comes)
    stream = plant.stream(store=store)
    plant.run(stream, lambda: len(plant.stored()) >= 4)
    assert seen[:4] == [seen[0]] * 4


def test_while_the_database_is_down_it_is_not_ready_and_says_why(plant: Plant) -> None:
    stream = plant.stream(
        store=Store(
            plant.database.record_store(), before=Failing(Unavailable("PostgreSQL is down"), 1_000)
        )
    )
    plant.send_readings(_reading(1))
    plant.run(stream, lambda: stream.check() == "PostgreSQL is down")
    assert plant.stored() == []


def test_it_is_ready_again_after_an_outage(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    store = Store(plant.database.record_store(), before=Failing(Unavailable("down"), 2))
    stream = plant.stream(store=store)
    plant.run(stream, lambda: plant.all_stored() and stream.check() is None)
    assert plant.stored() == [(1, 1.0)]


def test_a_dead_letter_that_was_written_is_not_written_again_when_the_transaction_fails(
    plant: Plant,
) -> None:
    plant.send(b"bad")
    plant.send_readings(_reading(1))
    store = Store(plant.database.record_store(), before=Failing(Unavailable("down"), 3))
    plant.record_all(plant.stream(store=store))
    assert len(plant.letters()) == 1


def test_while_dead_letters_cannot_be_written_nothing_is_passed_over(plant: Plant) -> None:
    plant.send(b"bad")
    failing = Failing(Unavailable("the broker is down"), 1_000_000)
    stream = plant.stream(producer=Sender(plant.broker.producer(), before=failing))
    plant.run(stream, lambda: stream.check() == "the broker is down")
    assert plant.database.record_store().offsets("recorder", plant.partitions()) == {}


def test_a_dead_letter_that_is_refused_for_good_stops_it_and_is_not_passed_over(
    plant: Plant,
) -> None:
    plant.send(b"bad")
    refused = Failing(FaultlineError("too large for the topic"))
    stream = plant.stream(producer=Sender(plant.broker.producer(), before=refused))
    with pytest.raises(FaultlineError, match="too large for the topic"):
        plant.record_all(stream)
    assert plant.database.record_store().offsets("recorder", plant.partitions()) == {}


def test_it_goes_on_when_dead_letters_can_be_written_again(plant: Plant) -> None:
    plant.send(b"bad")
    plant.send_readings(_reading(1))
    failing = Failing(Unavailable("the broker is down"), 3)
    plant.record_all(plant.stream(producer=Sender(plant.broker.producer(), before=failing)))
    assert (plant.stored(), len(plant.letters())) == ([(1, 1.0)], 1)


def test_more_dead_letters_than_fit_in_flight_are_written_in_turns(plant: Plant) -> None:
    for number in range(10):
        plant.send(b"bad %d" % number)
    plant.record_all(plant.stream(producer=MemoryProducer(plant.broker, capacity=20)))
    assert sorted(letter.value for letter in plant.letters()) == [b"bad %d" % n for n in range(10)]


def test_it_waits_for_a_database_that_is_down_when_partitions_are_assigned(plant: Plant) -> None:
    class Silent(Store):
        left = 3

        def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
            if self.left:
                self.left -= 1
                raise Unavailable("PostgreSQL is down")
            return super().offsets(group, partitions)

    plant.send_readings(_reading(1))
    plant.record_all()
    plant.send_readings(_reading(2))
    plant.record_all(plant.stream(store=Silent(plant.database.record_store())))
    assert plant.counted("faultline_recorder_readings_total", outcome="duplicate") == 0
    assert plant.stored() == [(1, 1.0), (2, 1.0)]


def test_it_waits_for_a_broker_that_is_down(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.broker.stop()
    stream = plant.stream()

    def stopped_or_stored() -> bool:
        if stream.check() == "the broker is stopped":
            plant.broker.start()
        return plant.broker.ping() is None and plant.all_stored()

    plant.run(stream, stopped_or_stored)
    assert plant.stored() == [(1, 1.0)]


def test_what_another_recorder_has_stored_meanwhile_is_dropped(plant: Plant) -> None:
    plant.send_readings(_reading(1), _reading(2))
    overtaken = Failing(Killed(), times=0)

    def overtake() -> None:
        if overtaken.left == 0:
            overtaken.left = -1
            plant.broker.evict("recorder")
            plant.record_all()

    plant.record_all(plant.stream(store=Store(plant.database.record_store(), before=overtake)))
    plant.send_readings(_reading(3))
    plant.record_all()
    assert plant.stored() == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert plant.counted("faultline_recorder_stream_restarts_total") == 1


def test_what_another_recorder_has_stored_in_part_is_stored_in_full(plant: Plant) -> None:
    for number in range(3):
        plant.send_readings(_reading(number))
    (source, *_) = plant.broker.sent("sensor.readings")
    store = plant.database.record_store()
    overtaking = [RecordBatch({source.partition: OffsetRange(0, 1)}, [_reading(0)])]

    def overtake_once() -> None:
        if overtaking:
            store.record("recorder", overtaking.pop(), lambda _: None)

    plant.record_all(plant.stream(store=Store(store, before=overtake_once)))
    assert plant.stored() == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_a_recorder_thrown_out_of_the_group_comes_back_and_stores_nothing_twice(
    plant: Plant,
) -> None:
    plant.send_readings(_reading(1))
    stream = plant.stream()
    evicted = False

    def evict_then_finish() -> bool:
        nonlocal evicted
        if not evicted and plant.all_stored():
            evicted = True
            plant.broker.evict("recorder")
            plant.send_readings(_reading(2))
        return evicted and plant.all_stored()

    plant.run(stream, evict_then_finish)
    assert plant.stored() == [(1, 1.0), (2, 1.0)]
    assert plant.counted("faultline_recorder_readings_total", outcome="duplicate") == 0
