"""What the checker finds of readings in histories made by hand: each kind, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from faultline.ports.broker import Headers, Message, Partition
from faultline.readings import Reading, encode_batch
from tests.history.checker import check_readings
from tests.history.findings import Kind, Observed, Row
from tests.history.handmade import PARTITION, message, reading
from tests.history.operations import Operation, Outcome, Way

BAD = b"not json"


def _operation(
    place: int, readings: Sequence[Reading], outcome: Outcome = Outcome.ACKNOWLEDGED
) -> Operation:
    value = encode_batch(readings)
    return Operation("pump", Way.TOPIC, value, readings, 2 * place, 2 * place + 1, outcome)


def _letter(offset: int, value: bytes, reason: str, positions: str) -> Message:
    headers: Headers = (
        ("reason", reason.encode()),
        ("positions", positions.encode()),
        ("source_topic", PARTITION.topic.encode()),
        ("source_partition", b"0"),
        ("source_offset", str(offset).encode()),
    )
    return Message(Partition("sensor.readings.dlq", 0), offset, b"pump", value, headers)


def _row(reading: Reading) -> Row:
    return Row(reading.machine_id, reading.timestamp_ms, reading.machine_type, reading.sensors)


FIRST, SECOND, OTHER = reading(1), reading(2), reading(2, 5.0)
OPERATIONS = (
    _operation(0, [FIRST]),
    _operation(1, [SECOND]),
    _operation(2, [SECOND], Outcome.UNKNOWN),
    _operation(3, [OTHER]),
    Operation("pump", Way.TOPIC, BAD, (), 8, 9, Outcome.ACKNOWLEDGED),
    Operation("pump", Way.HTTP, encode_batch([reading(9)]), [reading(9)], 10, 11, Outcome.REFUSED),
)
CONFLICT = _letter(2, encode_batch([OTHER]), "conflict", "0")
REFUSAL = _letter(3, BAD, "invalid_message", "")
SOUND = Observed(
    readings=[
        message(0, encode_batch([FIRST])),
        message(1, encode_batch([SECOND])),
        message(2, encode_batch([OTHER])),
        message(3, BAD),
    ],
    letters=[CONFLICT, REFUSAL, REFUSAL],
    rows=[_row(FIRST), _row(SECOND)],
    counts={"pump": 2},
)


def _kinds(observed: Observed, operations: Sequence[Operation] = OPERATIONS) -> set[Kind]:
    return {finding.kind for finding in check_readings(operations, observed)}


def test_a_sound_history_has_no_findings() -> None:
    assert check_readings(OPERATIONS, SOUND) == []


def test_what_is_unknown_may_have_happened_and_the_topic_may_repeat() -> None:
    again = [*SOUND.readings, message(4, encode_batch([SECOND]))]
    assert check_readings(OPERATIONS, replace(SOUND, readings=again)) == []


@pytest.mark.parametrize(
    "observed",
    [
        # Not in the topic, though acknowledged.
        replace(SOUND, readings=SOUND.readings[1:], rows=SOUND.rows[1:], counts={"pump": 1}),
        # In the topic, and not stored.
        replace(SOUND, rows=SOUND.rows[1:], counts={"pump": 1}),
        replace(SOUND, counts={"pump": 1}),
    ],
)
def test_a_loss_is_found(observed: Observed) -> None:
    assert _kinds(observed) == {Kind.LOST}


def test_a_message_that_is_there_less_often_than_acknowledged_is_found() -> None:
    operations = [*OPERATIONS, _operation(6, [FIRST])]
    assert _kinds(SOUND, operations) == {Kind.LOST}


@pytest.mark.parametrize(
    "observed",
    [
        replace(SOUND, rows=[*SOUND.rows, SOUND.rows[0]]),
        replace(SOUND, counts={"pump": 3}),
    ],
)
def test_what_is_there_twice_is_found(observed: Observed) -> None:
    assert _kinds(observed) == {Kind.DUPLICATED}


def test_readings_in_another_order_than_they_were_sent_in_are_found() -> None:
    first, second, *rest = SOUND.readings
    turned = [second._replace(offset=0), first._replace(offset=1), *rest]
    assert _kinds(replace(SOUND, readings=turned)) == {Kind.OUT_OF_ORDER}


def test_a_machine_in_two_partitions_is_found() -> None:
    elsewhere = SOUND.readings[0]._replace(partition=Partition("sensor.readings", 1))
    observed = replace(SOUND, readings=[*SOUND.readings[1:], elsewhere])
    assert Kind.OUT_OF_ORDER in _kinds(observed)


def test_of_two_that_conflict_the_second_in_the_store_is_found() -> None:
    observed = replace(SOUND, rows=[_row(FIRST), _row(OTHER)])
    assert _kinds(observed) == {Kind.WRONG_VALUES}


def test_what_was_refused_or_never_sent_is_found() -> None:
    refused = message(4, encode_batch([reading(9)]))
    observed = replace(
        SOUND,
        readings=[*SOUND.readings, refused],
        rows=[*SOUND.rows, _row(reading(9))],
        counts={"pump": 3},
    )
    assert _kinds(observed) == {Kind.NEVER_SENT}
    stored = replace(SOUND, rows=[*SOUND.rows, _row(reading(7))])
    assert _kinds(stored) == {Kind.NEVER_SENT}


@pytest.mark.parametrize("letters", [[CONFLICT], [REFUSAL]])
def test_a_dead_letter_that_is_missing_is_found(letters: list[Message]) -> None:
    assert _kinds(replace(SOUND, letters=letters)) == {Kind.MISSING_LETTER}


def test_a_dead_letter_of_nothing_is_found() -> None:
    stray = _letter(0, encode_batch([FIRST]), "conflict", "0")
    assert _kinds(replace(SOUND, letters=[*SOUND.letters, stray])) == {Kind.UNFOUNDED_LETTER}
