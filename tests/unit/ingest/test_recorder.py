"""The recorder, with everything in memory: each message once, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from msgspec import structs

from faultline import alarms, drift, labels, topics, verdicts
from faultline.adapters.memory.broker import MemoryProducer
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.errors import FaultlineError, Unavailable
from faultline.labels import FaultLabel
from faultline.ports.broker import Delivery, Headers, Message, Partition, Producer
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded, RecordStore
from faultline.readings import Reading, encode, make_reading
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict, VerdictBatch
from services.ingest.recorder.stream import RecorderStream

# It comes with the fixture: tests are imported file by file and cannot import each other.
Plant: TypeAlias = Any


class Killed(BaseException):
    """The process ends here: nothing after it is done."""


def _reading(at_ms: int, value: float = 1.0, machine_id: str = "p") -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


def _header(message: Message, name: str) -> str:
    return dict(message.headers)[name].decode()


def _verdicts(*times_ms: int) -> bytes:
    own = tuple(Verdict(timestamp_ms=each, status=Status.NORMAL, score=0.5) for each in times_ms)
    return verdicts.encode(VerdictBatch(machine_id="p", machine_type="pump", verdicts=own))


def _alarm_event(**fields: object) -> bytes:
    alarm = Alarm(
        alarm_id="2f1e5a3a-0d3c-5d4e-9f43-8f1b5ac3a111",
        machine_id="p",
        machine_type="pump",
        state=AlarmState.OPEN,
        began_at_ms=1,
        opened_at_ms=2,
        updated_at_ms=2,
        peak_score=2.0,
        peak_at_ms=2,
        top_sensors=(),
        bad_readings=1,
        model_name="faultline-pump",
        model_version="1",
    )
    event = AlarmEvent(
        event_id="2f1e5a3a-0d3c-5d4e-9f43-8f1b5ac3a222", kind=AlarmEventKind.OPENED, alarm=alarm
    )
    wire = json.loads(alarms.encode(event))
    wire["alarm"].update(fields)
    return json.dumps(wire).encode()


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


def test_readings_are_stored(plant: Plant) -> None:
    plant.send_readings(_reading(1, 1.5), _reading(2, 2.5), _reading(1, 9.5, "q"))
    plant.record_all()
    assert (plant.stored(), plant.stored("q")) == ([(1, 1.5), (2, 2.5)], [(1, 9.5)])


def test_a_reading_sent_twice_is_stored_once_and_is_no_dead_letter(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send_readings(_reading(1))
    plant.record_all()
    assert (plant.stored(), plant.letters()) == ([(1, 1.0)], [])


def test_verdicts_alarms_and_labels_are_stored(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send(_verdicts(1), topics.VERDICTS)
    plant.send(_alarm_event(), topics.ALARMS)
    label = FaultLabel(machine_id="p", kind="leak", start_ms=1, end_ms=2)
    plant.send(labels.encode(label), topics.LABELS)
    plant.record_all()
    store = plant.database.fleet_store()
    assert [each.verdict.timestamp_ms for each in store.verdicts("p")] == [1]
    assert [each.machine_id for each in store.alarms()] == ["p"]
    assert list(store.labels()) == [label]


def test_a_recorder_goes_on_where_the_last_one_stopped(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.record_all()
    plant.send_readings(_reading(2))
    plant.record_all()
    assert plant.stored() == [(1, 1.0), (2, 1.0)]
    assert plant.counted("faultline_recorder_readings_total", outcome="duplicate") == 0


@pytest.mark.parametrize(
    ("value", "reason", "detail", "positions"),
    [
        (b"not json", "invalid_message", "message is not valid JSON", ""),
        (b"[" * 100_000, "invalid_message", "nested too deeply", ""),
        (encode(_reading(1)).replace(b'"p"', b'""'), "invalid_machine_id", "machine_id: ''", "0"),
        (encode(_reading(1)).replace(b"1.0", b'"x"'), "invalid_sensors", "sensors.pressure", "0"),
        (encode(_reading(1)).replace(b"1970", b"1969"), "invalid_timestamp", "1970 to 2100", "0"),
        (
            b"[%s,%s,7]" % (encode(_reading(1)), encode(_reading(2)).replace(b"pump", b"PUMP")),
            "invalid_machine_type",
            "[1] machine_type: 'PUMP' must be 1 to 63 of a-z, 0-9, '_', '-'; [2] message must be",
            "1,2",
        ),
    ],
)
def test_a_refused_message_becomes_a_dead_letter_with_its_reason(
    plant: Plant, value: bytes, reason: str, detail: str, positions: str
) -> None:
    plant.send(value, key=b"its-key")
    plant.record_all()
    (letter,) = plant.letters()
    assert (letter.key, letter.value) == (b"its-key", value)
    assert (_header(letter, "reason"), _header(letter, "positions")) == (reason, positions)
    assert detail in _header(letter, "detail")


def test_a_dead_letter_says_where_and_when(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send(b"not json")
    plant.record_all()
    (letter,) = plant.letters()
    (source,) = (each for each in plant.broker.sent("sensor.readings") if each.value == b"not json")
    assert _header(letter, "source_topic") == "sensor.readings"
    assert _header(letter, "source_partition") == str(source.partition.number)
    assert _header(letter, "source_offset") == str(source.offset)
    assert _header(letter, "time").startswith("20")


def test_the_good_readings_of_a_refused_message_are_stored(plant: Plant) -> None:
    plant.send(b"[7,%s]" % encode(_reading(1)))
    plant.record_all()
    assert (plant.stored(), len(plant.letters())) == ([(1, 1.0)], 1)


def test_the_stream_goes_on_after_every_kind_of_bad_message(plant: Plant) -> None:
    for value in (b"", b"5", b"[]", b"\xff", b'{"machine_id":"p"}'):
        plant.send(value)
    plant.send_readings(_reading(1))
    plant.record_all()
    assert (plant.stored(), len(plant.letters())) == ([(1, 1.0)], 5)


def test_a_thousand_refusals_are_told_in_bounds(plant: Plant) -> None:
    plant.send(b"[" + b",".join([b"7"] * 5_000) + b"]")
    plant.record_all()
    (letter,) = plant.letters()
    assert sum(len(content) for _, content in letter.headers) < 10_000


def test_a_conflicting_reading_leaves_the_first_and_becomes_a_dead_letter(plant: Plant) -> None:
    plant.send_readings(_reading(1, 1.0))
    plant.record_all()
    plant.send(b"[7,%s,%s]" % (encode(_reading(2)), encode(_reading(1, 5.0))))
    plant.record_all()
    letters = {_header(letter, "reason"): letter for letter in plant.letters()}
    assert plant.stored() == [(1, 1.0), (2, 1.0)]
    assert _header(letters["conflict"], "positions") == "2"
    assert "p at 1970-01-01T00:00:00.001Z" in _header(letters["conflict"], "detail")


def _drift(**changes: Any) -> bytes:
    finding = Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.3)
    event = DriftEvent(
        event_id="d",
        machine_type="pump",
        model_name="faultline-pump",
        model_version="1",
        at_ms=3,
        findings=(finding,),
        start_ms=1,
        end_ms=2,
        readings=100,
    )
    return drift.encode(structs.replace(event, **changes))


def test_a_drift_event_is_stored_and_counted(plant: Plant) -> None:
    plant.send(_drift(), topics.DRIFT_EVENTS)
    plant.send(_drift(), topics.DRIFT_EVENTS)
    plant.record_all()
    assert plant.database.drift_log().list("pump") == [drift.decode(_drift())]
    assert plant.letters() == []


@pytest.mark.parametrize(
    ("topic", "value", "reason", "detail"),
    [
        (topics.VERDICTS, b"{}", "invalid_verdict", "is no verdict"),
        (topics.VERDICTS, b'{"x":' + b"[" * 100_000, "invalid_verdict", "is no verdict"),
        (topics.VERDICTS, _verdicts(-1), "invalid_verdict", "1970 to 2100"),
        (topics.VERDICTS, _verdicts(1).replace(b'"p"', b'"\\u0000"'), "invalid_verdict", "NUL"),
        (topics.ALARMS, b"not json", "invalid_alarm", "is no alarm"),
        (topics.ALARMS, _alarm_event(peak_at_ms=10**18), "invalid_alarm", "1970 to 2100"),
        (topics.ALARMS, _alarm_event(machine_id="\n"), "invalid_alarm", "machine_id"),
        (
            topics.VERDICTS,
            verdicts.encode(
                VerdictBatch(
                    machine_id="p",
                    machine_type="pump",
                    verdicts=(Verdict(timestamp_ms=1, status=Status.NORMAL, cluster=2**31),),
                )
            ),
            "invalid_verdict",
            "cluster: 2147483648",
        ),
        (topics.ALARMS, _alarm_event(bad_readings=2**63), "invalid_alarm", "bad_readings"),
        (topics.ALARMS, _alarm_event(bad_readings=-1), "invalid_alarm", "bad_readings"),
        (topics.ALARMS, _alarm_event(alarm_id=""), "invalid_alarm", "alarm_id"),
        (topics.ALARMS, _alarm_event(alarm_id="x" * 257), "invalid_alarm", "alarm_id"),
        (
            topics.LABELS,
            labels.encode(FaultLabel(machine_id="p", kind="x" * 3_000, start_ms=1)),
            "invalid_label",
            "kind: 3000 characters",
        ),
        (topics.LABELS, b"7", "invalid_label", "is no label"),
        (topics.DRIFT_EVENTS, b"{}", "invalid_drift", "is no drift"),
        (topics.DRIFT_EVENTS, _drift(event_id=""), "invalid_drift", "0 characters"),
        (topics.DRIFT_EVENTS, _drift(end_ms=-1), "invalid_drift", "1970 to 2100"),
        (topics.DRIFT_EVENTS, _drift(machines=2**63), "invalid_drift", "machines"),
        (
            topics.LABELS,
            labels.encode(FaultLabel(machine_id="p", kind="leak", start_ms=-5)),
            "invalid_label",
            "1970 to 2100",
        ),
    ],
)
def test_other_messages_that_cannot_be_stored_become_dead_letters_too(
    plant: Plant, topic: Topic, value: bytes, reason: str, detail: str
) -> None:
    plant.send(value, topic)
    plant.record_all()
    (letter,) = plant.letters()
    assert (_header(letter, "reason"), letter.value) == (reason, value)
    assert detail in _header(letter, "detail")


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
        plant.send(_verdicts(number), topics.VERDICTS)
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


def test_the_stores_offsets_count_and_not_those_of_the_broker(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    consumer = plant.broker.consumer("recorder", [topics.READINGS])
    consumer.poll(0.1, 1)
    consumer.commit(dict.fromkeys(plant.partitions(), 1))
    consumer.close()
    plant.record_all()
    assert plant.stored() == [(1, 1.0)]


def test_the_broker_is_told_how_far_it_is_when_it_stops(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.record_all()
    assert sum(plant.broker.committed("recorder").values()) == 1


def test_a_topic_that_was_created_anew_stops_it_with_a_reason(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    (source,) = plant.broker.sent("sensor.readings")
    plant.database.record_store().record(
        "recorder", RecordBatch({source.partition: OffsetRange(0, 500)}), lambda _: None
    )
    with pytest.raises(FaultlineError, match="offset 0 came where the store expects 500"):
        plant.record_all()


def test_a_verdict_is_not_kept_waiting_by_a_backlog_of_readings(plant: Plant) -> None:
    for number in range(2_000):
        plant.send_readings(_reading(number))
    plant.send(_verdicts(0), topics.VERDICTS)
    behind: list[int] = []

    def verdict_is_stored() -> bool:
        stored = bool(plant.database.fleet_store().verdicts("p"))
        if stored:
            behind.append(2_000 - len(plant.stored()))
        return stored

    plant.run(plant.stream(rows=100), verdict_is_stored)
    assert behind[0] > 0


def test_a_batch_is_bounded_in_rows(plant: Plant) -> None:
    for number in range(1_200):
        plant.send_readings(_reading(number))
    sizes: list[int] = []

    class Measuring(Store):
        def record(
            self,
            group: str,
            batch: RecordBatch,
            on_conflicts: Callable[[Sequence[int]], None],
        ) -> Recorded:
            sizes.append(len(batch.readings))
            return super().record(group, batch, on_conflicts)

    plant.record_all(plant.stream(store=Measuring(plant.database.record_store()), rows=100))
    assert (max(sizes) <= 600, sum(sizes)) == (True, 1_200)


def test_it_counts_what_it_did(plant: Plant) -> None:
    plant.send_readings(_reading(1), _reading(2))
    plant.send(b"bad")
    plant.send(b"[7,%s]" % encode(_reading(1, 5.0)))
    plant.record_all()
    assert plant.counted("faultline_recorder_readings_total", outcome="stored") == 2
    assert plant.counted("faultline_recorder_readings_total", outcome="conflict") == 1
    assert plant.counted("faultline_recorder_readings_refused_total", field="message") == 2
    assert plant.counted("faultline_recorder_dead_letters_total", reason="conflict") == 1
    assert plant.counted("faultline_recorder_dead_letters_total", reason="invalid_message") == 2
