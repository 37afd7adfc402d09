"""The recorder, with everything in memory: readings are stored, and what cannot be is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from faultline import topics
from faultline.adapters.clock import SystemClock
from faultline.errors import FaultlineError
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded
from faultline.readings import Reading, encode, make_reading
from faultline.retention import Retention

if TYPE_CHECKING:
    from tests.unit.ingest.conftest import Plant


def _reading(at_ms: int, value: float = 1.0, machine_id: str = "p") -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


def test_readings_are_stored(plant: Plant) -> None:
    plant.send_readings(_reading(1, 1.5), _reading(2, 2.5), _reading(1, 9.5, "q"))
    plant.record_all()
    assert (plant.stored(), plant.stored("q")) == ([(1, 1.5), (2, 2.5)], [(1, 9.5)])


def test_a_reading_sent_twice_is_stored_once_and_is_no_dead_letter(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send_readings(_reading(1))
    plant.record_all()
    assert (plant.stored(), plant.letters()) == ([(1, 1.0)], [])


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
            "1-2",
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
    assert (plant.header(letter, "reason"), plant.header(letter, "positions")) == (
        reason,
        positions,
    )
    assert detail in plant.header(letter, "detail")


def test_a_dead_letter_says_where_and_when(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send(b"not json")
    plant.record_all()
    (letter,) = plant.letters()
    (source,) = (each for each in plant.broker.sent("sensor.readings") if each.value == b"not json")
    assert plant.header(letter, "source_topic") == "sensor.readings"
    assert plant.header(letter, "source_partition") == str(source.partition.number)
    assert plant.header(letter, "source_offset") == str(source.offset)
    assert plant.header(letter, "time").startswith("20")


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
    letters = {plant.header(letter, "reason"): letter for letter in plant.letters()}
    assert plant.stored() == [(1, 1.0), (2, 1.0)]
    assert plant.header(letters["conflict"], "positions") == "2"
    assert "p at 1970-01-01T00:00:00.001Z" in plant.header(letters["conflict"], "detail")


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


def test_a_batch_is_bounded_in_rows(plant: Plant) -> None:
    for number in range(1_200):
        plant.send_readings(_reading(number))
    sizes: list[int] = []

    store = plant.database.record_store()

    class Measuring:
        offsets = staticmethod(store.offsets)

        def record(
            self, group: str, batch: RecordBatch, on_conflicts: Callable[[Sequence[int]], None]
        ) -> Recorded:
            sizes.append(len(batch.readings))
            return store.record(group, batch, on_conflicts)

    plant.record_all(plant.stream(store=Measuring(), rows=100))
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


def test_a_reading_older_than_the_retention_is_stored_and_counted(plant: Plant) -> None:
    now_ms = SystemClock().now_ms()
    old, new = (make_reading("p", now_ms - days * 86_400_000, {"flow": 1.0}) for days in (40, 20))
    plant.send_readings(old, new)
    plant.record_all(plant.stream(retention=Retention(readings_days=30)))
    assert len(plant.stored()) == 2
    assert plant.counted("faultline_recorder_readings_expired_total") == 1
