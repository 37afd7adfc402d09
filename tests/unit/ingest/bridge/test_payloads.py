"""Payloads: one value, or readings; anything else is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import InvalidReading
from faultline.readings import field_of
from services.ingest.bridge.payloads import Value, left_out, read_readings, read_value
from services.ingest.bridge.subscriptions import Subscription

VALUES = Subscription(topic="plant/{machine}/{sensor}", machine_type="pump")
READINGS = Subscription(topic="factory/{machine}/json", machine_type="pump")
TOPIC = {"machine": "p1", "sensor": "t"}


def value(payload: bytes) -> Value:
    return read_value(VALUES, TOPIC, payload)


@pytest.mark.parametrize(
    ("payload", "number", "timestamp_ms"),
    [
        (b"21.5", 21.5, None),
        (b" 21.5\n", 21.5, None),
        (b"+21.", 21.0, None),
        (b"+" + b"0" * 62 + b"1", 1.0, None),
        (b".5e1", 5.0, None),
        (b"-3", -3.0, None),
        (b"null", None, None),
        (b'{"value": 1.5}', 1.5, None),
        (b'{"value": null, "timestamp": 7}', None, 7),
        (b'{"value": 2, "timestamp": "1970-01-01T00:00:01Z", "unit": "bar"}', 2.0, 1000),
    ],
)
def test_a_value_is_a_number_or_an_object_with_one(
    payload: bytes, number: float | None, timestamp_ms: int | None
) -> None:
    assert value(payload) == Value("pump", "p1", "t", number, timestamp_ms)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "message"),
        (b"hot", "message"),
        (b"true", "message"),
        (b"NaN", "message"),
        (b"1_000", "message"),
        (b'"1.5"', "message"),
        (b"[1]", "message"),
        (b'{"value": true}', "message"),
        (b'{"timestamp": 5}', "message"),
        (b"\xff\xfe", "message"),
        (b"[" * 100_000, "message"),
        (b"1e101", "sensors"),
        (b"1" + b"0" * 400, "message"),
        (b"+" + b"1" * 64, "message"),
        (b"+1e999", "sensors"),
        (b'{"value": 1, "timestamp": "yesterday"}', "timestamp"),
        (b'{"value": 1, "timestamp": -1}', "timestamp"),
    ],
)
def test_what_is_no_value_is_refused_with_the_field_at_fault(payload: bytes, field: str) -> None:
    with pytest.raises(InvalidReading) as refused:
        value(payload)
    assert field_of(str(refused.value)) == field


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"machine": "", "sensor": "t"}, "machine_id"),
        ({"machine": "p\n", "sensor": "t"}, "machine_id"),
        ({"machine": "p", "sensor": "t" * 129}, "sensors"),
        ({"machine": "p", "sensor": "t", "machine_type": "Big Pump"}, "machine_type"),
    ],
)
def test_a_topic_that_breaks_a_limit_is_refused(said: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidReading) as refused:
        read_value(VALUES, said, b"1")
    assert field_of(str(refused.value)) == field


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_are_refused(payload: bytes) -> None:
    try:
        number = value(payload).value
    except InvalidReading:
        return
    assert number is None or abs(number) <= 1e100


def test_a_payload_larger_than_one_may_be_is_refused_unread() -> None:
    spaces = b" " * 1_000_000
    assert value(spaces[1:] + b"1").value == 1.0
    with pytest.raises(InvalidReading, match="of 1000001 bytes is over the limit of 1000000"):
        value(spaces + b"1")
    one = json.dumps(reading()).encode()
    with pytest.raises(InvalidReading, match="over the limit of 1000000"):
        read_readings(spaces + one, {"machine_id": "p1"})


def test_a_payload_of_more_values_than_one_may_have_is_refused_unread() -> None:
    with pytest.raises(InvalidReading, match="about 100001 values"):
        read_readings(b"[" + b"1," * 100_000 + b"1]", {})
    assert len(read_readings(b"[" + b"1," * 99 + b"1]", {}).refusals) == 100


def reading(**fields: Any) -> dict[str, Any]:
    return {"timestamp": 1000, "sensors": {"t": 1.5}, **fields}


def test_the_topic_says_whose_a_reading_is_that_does_not() -> None:
    payload = json.dumps(reading()).encode()
    [one] = read_readings(payload, left_out(READINGS, {"machine": "p1"})).readings
    assert (one.machine_id, one.machine_type, one.identity) == ("p1", "pump", ("p1", 1000))
    said = {"machine": "p1", "machine_type": "valve"}
    [other] = read_readings(payload, left_out(READINGS, said)).readings
    assert other.machine_type == "valve"


def test_what_a_reading_says_of_itself_counts_more_than_its_topic() -> None:
    payload = json.dumps([reading(machine_id="q", machine_type="fan"), reading()]).encode()
    decoded = read_readings(payload, left_out(READINGS, {"machine": "p1"}))
    assert [each.machine_id for each in decoded.readings] == ["q", "p1"]
    assert [each.machine_type for each in decoded.readings] == ["fan", "pump"]


def test_one_bad_reading_of_an_array_does_not_refuse_the_others() -> None:
    payload = json.dumps([reading(sensors={"t": True}), reading()]).encode()
    decoded = read_readings(payload, left_out(READINGS, {"machine": "p1"}))
    assert [refusal.position for refusal in decoded.refusals] == [0]
    assert len(decoded.readings) == 1


@pytest.mark.parametrize("payload", [b"", b"{", b"7", b"[]", b'{"a": NaN}', b"\xff"])
def test_a_payload_that_is_no_reading_at_all_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidReading):
        read_readings(payload, left_out(READINGS, {"machine": "p1"}))


def test_an_item_that_is_no_object_is_refused_alone() -> None:
    payload = json.dumps([7, reading()]).encode()
    decoded = read_readings(payload, left_out(READINGS, {"machine": "p1"}))
    assert [each.machine_id for each in decoded.readings] == ["p1"]
    assert [refusal.position for refusal in decoded.refusals] == [0]
