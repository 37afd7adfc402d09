"""The codec: what goes out comes back, what breaks a limit is refused in words, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
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
    chunked,
    decode,
    decode_lines,
    encode,
    encode_batch,
    encode_messages,
    field_of,
    format_timestamp,
    make_reading,
    parse_timestamp,
)

PUMP = '{"machine_id":"pump","timestamp":1000,"sensors":{"p":1.5}}'

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


def _wire(**fields: object) -> bytes:
    return json.dumps({**json.loads(PUMP), **fields}).encode()


def _nested(field: bytes, opening: bytes, closing: bytes) -> bytes:
    """A reading whose field is nested 10,000 deep."""
    deep = opening * 10_000 + b"1" + closing * 10_000
    own = PUMP.encode().replace(b'"%s":' % field, b'"other":')
    return own[:-1] + b',"%s":%s}' % (field, deep)


def _decoded(way: Callable[[bytes], Decoded], value: bytes) -> Decoded:
    """What is made of a message; one that is refused as a whole is one refusal."""
    try:
        return way(value)
    except InvalidReading as error:
        return Decoded([], [Refusal(0, str(error))])


def _reason(value: bytes) -> str:
    """Why a message of one reading is refused."""
    try:
        decoded = decode(value)
    except InvalidReading as error:
        return str(error)
    ((position, reason),) = decoded.refusals
    assert (position, decoded.readings) == (0, [])
    return reason


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


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "message is not valid JSON"),
        (b"not json", "message is not valid JSON"),
        (b'{"machine_id":"a"', "message is not valid JSON"),
        (b"\xef\xbb\xbf" + PUMP.encode(), "message is not valid JSON"),
        (PUMP.encode() + b" more", "message is not valid JSON"),
        (PUMP.replace("1.5", "NaN").encode(), "JSON knows neither NaN nor Infinity, send null"),
        (PUMP.replace("1.5", "-Infinity").encode(), "JSON knows neither NaN nor Infinity"),
        (PUMP.replace("pump", r"\ud800").encode(), "message is not valid JSON"),
        (PUMP.encode().replace(b"pump", b"\xff"), "message is not UTF-8"),
        (b"[]", "message is an empty array; send at least one reading"),
        (b"5", "message must be a JSON object or an array of them"),
        (b"null", "message must be a JSON object or an array of them"),
        (b"[5]", "message must be a JSON object for each reading, not 5"),
        (b"[" * 100_000, "message is nested too deeply"),
        (b'{"a":' * 100_000, "message is nested too deeply"),
        (b'[1,{"a":' * 100_000, "message is nested too deeply"),
        (_nested(b"machine_id", b"[", b"]"), "message is nested too deeply"),
        (_nested(b"timestamp", b'{"a":', b"}"), "message is nested too deeply"),
        (_nested(b"sensors", b"[", b"]"), "message is nested too deeply"),
        (_nested(b"sensors", b'{"a":', b"}"), "message is nested too deeply"),
        (_nested(b"unknown", b"[", b"]"), "message is nested too deeply"),
        (b"{}", "machine_id: is missing"),
        (b'{"machine_id":"a","sensors":{"p":1}}', "timestamp: is missing"),
        (b'{"machine_id":"a","timestamp":1}', "sensors: is missing"),
        (_wire(machine_id=5), "machine_id: 5 must be text"),
        (_wire(machine_id=""), "machine_id: '' must be 1 to 128 printable characters"),
        (_wire(machine_id="a\n"), r"machine_id: 'a\n' must be 1 to 128 printable characters"),
        (_wire(machine_id="x" * 129), "… (129 characters) must be 1 to 128 printable"),
        (_wire(machine_type=None), "machine_type: null must be text"),
        (_wire(machine_type="Pump"), "machine_type: 'Pump' must be 1 to 63 of a-z, 0-9, '_', '-'"),
        (_wire(machine_type="a\n"), r"machine_type: 'a\n' must be 1 to 63"),
        (_wire(timestamp=True), "timestamp: true must be RFC 3339 text or epoch milliseconds"),
        (_wire(timestamp="noon"), "timestamp: 'noon' is neither RFC 3339"),
        (_wire(timestamp=-1), "timestamp: -1 must be in the years 1970 to 2100"),
        (_wire(timestamp="2101-01-01T00:00:00Z"), "must be in the years 1970 to 2100"),
        (_wire(timestamp="0001-01-01T00:00:00+23:59"), "must be in the years 1970 to 2100"),
        (_wire(timestamp=10**400), "timestamp: such a number is no epoch milliseconds"),
        (PUMP.replace("1000", "1e999").encode(), "timestamp: 1e999 must be RFC 3339 text or epoch"),
        (_wire(sensors=[]), "sensors: [] must be an object of sensor names and numbers"),
        (_wire(sensors={}), "sensors: 0 given, must be 1 to 1024"),
        (_wire(sensors={str(n): 1 for n in range(1025)}), "sensors: 1025 given, must be 1 to 1024"),
        (_wire(sensors={"": 1}), "sensors: the name '' must be 1 to 128 printable characters"),
        (_wire(sensors={"\0": 1}), r"sensors: the name '\x00' must be 1 to 128 printable"),
        (_wire(sensors={"x" * 129: 1}), "… (129 characters) must be 1 to 128 printable"),
        (_wire(sensors={"q": 1, "p": True}), "sensors.p: true must be a number"),
        (_wire(sensors={"p": "1"}), 'sensors.p: "1" must be a number'),
        (_wire(sensors={"p": [1]}), "sensors.p: [1] must be a number"),
        (_wire(sensors={"p": 1.1e100}), "sensors.p: 1.1e+100 must be a finite number of at most"),
        (PUMP.replace("1.5", "1e999").encode(), "sensors.p: 1e999 must be a number of at most"),
        (PUMP.replace("1.5", "9" * 5000).encode(), "… (5000 characters) must be a number of at"),
        (_wire(event_id=5), "event_id: 5 must be text, or left out"),
        (_wire(traceparent={}), "traceparent: {} must be text, or left out"),
        (_wire(event_id="x" * 257), "… (257 characters) must be at most 256 characters"),
        (_wire(traceparent="x" * 257), "… (257 characters) must be at most 256 characters"),
    ],
)
def test_a_refusal_names_field_value_and_limit(value: bytes, reason: str) -> None:
    assert reason in _reason(value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"machine_id": 5}, "machine_id"),
        ({"machine_id": ""}, "machine_id"),
        ({"machine_type": "A"}, "machine_type"),
        ({"timestamp": -1}, "timestamp"),
        ({"sensors": {}}, "sensors"),
        ({"sensors": {"p": True}}, "sensors"),
        ({"event_id": 5}, "event_id"),
    ],
)
def test_the_field_of_a_refusal_can_be_told(fields: dict[str, object], field: str) -> None:
    assert field_of(_reason(_wire(**fields))) == field


def test_what_is_about_the_whole_message_has_no_field() -> None:
    assert field_of(_reason(b"not json")) == "message"


def test_the_good_readings_of_a_batch_stand() -> None:
    bad = _wire(sensors={"p": "x"}).decode()
    decoded = decode(f"[{PUMP},{bad},{PUMP},7]".encode())
    assert ([each.machine_id for each in decoded.readings], [p for p, _ in decoded.refusals]) == (
        ["pump", "pump"],
        [1, 3],
    )


def test_a_line_that_is_not_json_is_refused_alone() -> None:
    decoded = decode_lines(f"{PUMP}\nnot json\n\n{PUMP}\r\n".encode())
    assert (len(decoded.readings), [position for position, _ in decoded.refusals]) == (2, [1])


def test_two_readings_on_one_line_are_refused() -> None:
    decoded = decode_lines(f"{PUMP},{PUMP}\n{PUMP}".encode())
    assert [position for position, _ in decoded.refusals] == [0]


@pytest.mark.parametrize("value", [b"", b"\n \r\n"])
def test_no_lines_at_all_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidReading, match="message is empty"):
        decode_lines(value)


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (0, 0),
        (1500.9, 1500),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:01.5009999Z", 1500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00", 0),
        ("2100-12-31T23:59:59.999Z", MAX_TIMESTAMP_MS),
    ],
)
def test_a_timestamp_is_rfc_3339_or_epoch_milliseconds(
    timestamp: str | float, milliseconds: int
) -> None:
    assert parse_timestamp(timestamp) == milliseconds


@given(st.integers(0, MAX_TIMESTAMP_MS))
def test_a_formatted_timestamp_is_parsed_to_the_same(milliseconds: int) -> None:
    assert parse_timestamp(format_timestamp(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 21, 8, tzinfo=UTC),
        datetime(2026, 11, 21, 8),  # noqa: DTZ001 - without a zone it is UTC
        datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_reading_can_be_made_from_a_datetime(moment: datetime) -> None:
    assert make_reading("pump", moment, {"p": 1.0}).timestamp_ms == 1_795_248_000_000


def test_a_reading_that_is_made_keeps_the_limits_too() -> None:
    with pytest.raises(InvalidReading, match=r"sensors\.p: nan must be a finite number"):
        make_reading("pump", 0, {"p": float("nan")})


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -1.1e100, 10**400])
@pytest.mark.parametrize("beside", [None, 1.0, 1e100])
def test_one_value_beyond_the_limit_is_found_among_others(
    value: float, beside: float | None
) -> None:
    with pytest.raises(InvalidReading, match=r"sensors\.p: .* must be a finite number"):
        make_reading("pump", 0, {"a": beside, "p": value, "z": beside})


def test_very_many_values_at_the_limit_are_within_it() -> None:
    sensors: dict[str, float | None] = {f"s{number}": 1e100 for number in range(1_000)}
    assert make_reading("pump", 0, sensors).sensors == sensors


def test_the_machine_type_is_default_when_left_out() -> None:
    assert decode(PUMP.encode()).readings[0].machine_type == "default"


def test_the_identity_is_machine_and_timestamp() -> None:
    assert make_reading("pump", 5, {"p": 1.0}).identity == ("pump", 5)


def test_chunks_keep_order_and_size() -> None:
    batch = [make_reading("pump", number, {"p": 1.0}) for number in range(5)]
    assert [len(chunk) for chunk in chunked(batch, 2)] == [2, 2, 1]
