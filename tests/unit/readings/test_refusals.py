"""What breaks a limit is refused in words, and what stands beside it is read."""

from __future__ import annotations

import json

import pytest

from faultline.errors import InvalidReading
from faultline.readings import (
    decode,
    decode_lines,
    field_of,
)

PUMP = '{"machine_id":"pump","timestamp":1000,"sensors":{"p":1.5}}'


def _wire(**fields: object) -> bytes:
    return json.dumps({**json.loads(PUMP), **fields}).encode()


def _nested(field: bytes, opening: bytes, closing: bytes) -> bytes:
    """A reading whose field is nested 10,000 deep."""
    deep = opening * 10_000 + b"1" + closing * 10_000
    own = PUMP.encode().replace(b'"%s":' % field, b'"other":')
    return own[:-1] + b',"%s":%s}' % (field, deep)


def _reason(value: bytes) -> str:
    """Why a message of one reading is refused."""
    try:
        decoded = decode(value)
    except InvalidReading as error:
        return str(error)
    ((position, reason),) = decoded.refusals
    assert (position, decoded.readings) == (0, [])
    return reason


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


def test_the_machine_type_is_default_when_left_out() -> None:
    assert decode(PUMP.encode()).readings[0].machine_type == "default"


def test_a_line_that_is_not_json_is_refused_alone() -> None:
    decoded = decode_lines(f"{PUMP}\nnot json\n\n{PUMP}\r\n".encode())
    assert (len(decoded.readings), [position for position, _ in decoded.refusals]) == (2, [1])


@pytest.mark.parametrize("bad", ["not json", "7", _wire(sensors={}).decode()])
def test_a_refused_line_is_named_as_an_editor_counts(bad: str) -> None:
    decoded = decode_lines(f"\n{PUMP}\r\n\r\n{bad}\n{PUMP}\n".encode())
    [(position, reason)] = decoded.refusals
    assert (len(decoded.readings), position) == (2, 1)
    assert reason.endswith(" (line 4)")


def test_no_line_is_named_where_an_object_goes_over_several() -> None:
    long, bad = PUMP.replace("{", "{\n", 1), _wire(sensors={}).decode()
    [(position, reason)] = decode_lines(f"{long}\n{bad}\n".encode()).refusals
    assert (position, "(line" in reason) == (1, False)


def test_two_readings_on_one_line_are_refused() -> None:
    decoded = decode_lines(f"{PUMP},{PUMP}\n{PUMP}".encode())
    assert [position for position, _ in decoded.refusals] == [0]


@pytest.mark.parametrize("value", [b"", b"\n \r\n"])
def test_no_lines_at_all_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidReading, match="message is empty"):
        decode_lines(value)
