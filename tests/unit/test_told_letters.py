"""Letters of the MQTT bridge: what their topic told of the readings outlives mending and replay."""

from __future__ import annotations

import msgspec

from faultline import topics
from faultline.dead_letters import (
    Letter,
    Replay,
    letter_headers,
    read_letter,
    record_of,
    records_in,
    replay,
    told_headers,
)
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading

_BAD = b'[{"timestamp":1,"sensors":{"t":true}},{"machine_id":"q","timestamp":2,"sensors":{"t":1}}]'
_TOLD = {"machine_id": "p", "machine_type": "pump"}


def _letter(value: bytes = _BAD, source: Message | None = None) -> Letter:
    headers = told_headers(_TOLD) + letter_headers(source, "invalid_sensors", "true", (), 1_000)
    return read_letter(Message(Partition(topics.READINGS_DLQ.name, 0), 7, None, value, headers))


def _sent(letter: Letter) -> list[tuple[str, str]]:
    sent: list[Reading] = []
    replay([letter], lambda _, found: sent.extend(found), Replay(), conflicts=False, limit=1)
    return [(each.machine_id, each.machine_type) for each in sent]


def test_a_mended_letter_is_sent_as_of_the_machine_and_type_that_its_topic_told() -> None:
    good = _BAD.replace(b"true", b"1")
    changed = msgspec.structs.replace(record_of(_letter()), value=msgspec.Raw(good))
    (mended,) = records_in([msgspec.json.encode(changed)], "file")
    assert mended.told == _TOLD
    assert _sent(mended) == _sent(_letter(good)) == [("p", "pump"), ("q", "pump")]


def test_it_is_about_the_machines_that_its_topic_and_its_payload_tell() -> None:
    assert _letter().machines == ("p", "q")


def test_headers_of_the_same_names_that_a_message_of_kafka_came_with_tell_nothing() -> None:
    good = _BAD.replace(b"true", b"1")
    source = Message(Partition(topics.READINGS.name, 3), 42, None, good)
    assert _letter(good, source).told == {}
    assert _sent(_letter(good, source)) == [("q", "default")]
