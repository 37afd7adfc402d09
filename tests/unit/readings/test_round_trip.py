"""The codec: what goes out comes back, and any bytes are decoded or refused, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import assume, given
from hypothesis import strategies as st

from faultline.errors import InvalidReading
from faultline.readings import (
    MAX_ABSOLUTE_VALUE,
    MAX_MACHINE_ID_LENGTH,
    MAX_PASSENGER_LENGTH,
    MAX_SENSOR_NAME_LENGTH,
    MAX_TIMESTAMP_MS,
    Decoded,
    Reading,
    Refusal,
    by_machine,
    decode,
    decode_lines,
    encode,
    encode_batch,
    encode_messages,
)

printable = st.characters(exclude_categories=["C", "Z"])
passengers = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_PASSENGER_LENGTH)
values = st.none() | st.floats(-MAX_ABSOLUTE_VALUE, MAX_ABSOLUTE_VALUE)
readings = st.builds(
    Reading,
    machine_id=st.text(printable, min_size=1, max_size=MAX_MACHINE_ID_LENGTH),
    timestamp_ms=st.integers(0, MAX_TIMESTAMP_MS),
    sensors=st.dictionaries(
        st.text(printable, min_size=1, max_size=MAX_SENSOR_NAME_LENGTH),
        values,
        min_size=1,
        max_size=5,
    ),
    machine_type=st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True),
    event_id=st.none() | passengers,
    traceparent=st.none() | passengers,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)
almost_readings = st.fixed_dictionaries(
    {},
    optional={
        "machine_id": st.text(max_size=3) | json_values,
        "timestamp": st.integers() | st.floats() | st.text() | json_values,
        "sensors": st.dictionaries(st.text(max_size=3), st.floats() | json_values) | json_values,
        "machine_type": st.text(max_size=3) | json_values,
        "event_id": json_values,
    },
)

FRAGMENTS = [
    *(
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\0",
        b"\n",
        b"\x1b[2J",
        b'"',
        b"\\",
        b",",
    ),
    *(b"[" * 10_000, b'{"a":' * 10_000, b'"x":' + b"[" * 10_000 + b"]" * 10_000 + b","),
    *(b"NaN", b"-Infinity", b"1" + b"0" * 400, b"e308", b"true", b"null", b'"machine_id":5,'),
]


def _decoded(way: Callable[[bytes], Decoded], value: bytes) -> Decoded:
    """What is made of a message; one that is refused as a whole is one refusal."""
    try:
        return way(value)
    except InvalidReading as error:
        return Decoded([], [Refusal(0, str(error))])


@given(readings)
def test_a_reading_comes_back_exactly(reading: Reading) -> None:
    assert decode(encode(reading)) == Decoded([reading], [])


@given(st.lists(readings, min_size=1, max_size=5))
def test_a_batch_comes_back_exactly_and_in_order(batch: list[Reading]) -> None:
    assert decode(encode_batch(batch)) == Decoded(batch, [])


@given(st.lists(readings, min_size=1, max_size=5))
def test_lines_come_back_exactly_and_in_order(batch: list[Reading]) -> None:
    assert decode_lines(b"\n".join(encode(reading) for reading in batch)) == Decoded(batch, [])


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_decoded_or_refused(value: bytes) -> None:
    for way in (decode, decode_lines):
        try:
            decoded = way(value)
        except InvalidReading:
            continue
        assert decoded.readings or decoded.refusals


@given(
    st.lists(readings, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(FRAGMENTS)), max_size=4),
)
def test_messages_with_anything_put_into_them_are_decoded_or_refused_in_utf_8(
    batch: list[Reading], fragments: list[tuple[int, bytes]]
) -> None:
    value = encode_batch(batch)
    for place, fragment in fragments:
        at = place % len(value)
        value = value[:at] + fragment + value[at:]
    for way in (decode, decode_lines):
        decoded = _decoded(way, value)
        assert all(reason.encode() for _, reason in decoded.refusals)
        assert all(decode(encode(each)) == Decoded([each], []) for each in decoded.readings)


@given(st.lists(almost_readings, min_size=1, max_size=4))
def test_every_item_of_a_batch_is_read_or_refused_with_its_position(
    items: list[dict[str, object]],
) -> None:
    value = json.dumps(items).encode()
    # These are not JSON, so the whole message cannot be read.
    assume(b"NaN" not in value and b"Infinity" not in value and b"\\ud" not in value)
    decoded = decode(value)
    assert len(decoded.readings) + len(decoded.refusals) == len(items)
    assert len({position for position, _ in decoded.refusals}) == len(decoded.refusals)


@given(st.lists(readings, max_size=20), st.integers(1, 4), st.integers(1, 500))
def test_messages_hold_every_reading_once_in_each_machines_order(
    batch: list[Reading], max_readings: int, max_bytes: int
) -> None:
    received: dict[str, list[Reading]] = {}
    for key, value in encode_messages(batch, max_readings, max_bytes):
        own = decode(value).readings
        assert len(own) <= max_readings
        assert len(value) <= max_bytes or len(own) == 1
        received.setdefault(key.decode(), []).extend(own)
    assert received == by_machine(batch)
