"""Takes payloads apart: readings in JSON, or one value of one sensor.

Pure. What comes out is within the limits of every reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from faultline.errors import InvalidReading
from faultline.readings import Decoded, decode, make_reading, parse_timestamp
from services.ingest.bridge.subscriptions import Subscription

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHOWN_BYTES = 60


class Value(NamedTuple):
    """One value of one sensor; None is a missing value, and a time that is not told."""

    machine_type: str
    machine_id: str
    sensor: str
    value: float | None
    timestamp_ms: int | None


class _Stamped(msgspec.Struct):
    value: float | None
    timestamp: str | int | float | None = None


_plain_or_stamped = msgspec.json.Decoder(float | None | _Stamped)
_one = msgspec.json.Decoder(dict[str, msgspec.Raw])
_many = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.encode


def read_value(subscription: Subscription, said: Mapping[str, str], payload: bytes) -> Value:
    """One value: a number as text or JSON, null, or ``{"value": 1.2, "timestamp": …}``.

    Parameters
    ----------
    said
        What the topic says, see `Subscription.match`.

    Raises
    ------
    InvalidReading
        When it is nothing of that, or breaks a limit of readings. ``true`` and ``false`` are no
        numbers, as in readings.
    """
    machine_type = said.get("machine_type", subscription.machine_type)
    sensor = said["sensor"]
    value, timestamp = _number(payload)
    when = None if timestamp is None else parse_timestamp(timestamp)
    # Holds machine, type, sensor and value against the limits.
    checked = make_reading(said["machine"], when or 0, {sensor: value}, machine_type)
    return Value(machine_type, checked.machine_id, sensor, value, when)


def _number(payload: bytes) -> tuple[float | None, str | int | float | None]:
    text = payload.strip()
    try:
        content = _plain_or_stamped.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _NUMBER.fullmatch(text):
            return float(text), None
        raise InvalidReading(
            f"message {_shown(payload)} must be a number, null, or an object with value and "
            "timestamp; for true and false send 1 and 0"
        ) from error
    if isinstance(content, _Stamped):
        return content.value, content.timestamp
    return content, None


def _shown(payload: bytes) -> str:
    text = payload[:_SHOWN_BYTES].decode("utf-8", "replace")
    more = "" if len(payload) <= _SHOWN_BYTES else f"… ({len(payload)} bytes)"
    return f"{text!r}{more}"


def read_readings(subscription: Subscription, said: Mapping[str, str], payload: bytes) -> Decoded:
    """Readings on the wire, one or an array; the topic says what they leave out of themselves.

    Raises
    ------
    InvalidReading
        When the payload as a whole cannot be read.
    """
    return decode(_completed_payload(payload, _left_out(subscription, said)))


def _left_out(subscription: Subscription, said: Mapping[str, str]) -> dict[str, msgspec.Raw]:
    told = {"machine_type": said.get("machine_type", subscription.machine_type)}
    if "machine" in said:
        told["machine_id"] = said["machine"]
    return {name: msgspec.Raw(_encode(text)) for name, text in told.items()}


def _completed_payload(payload: bytes, told: Mapping[str, msgspec.Raw]) -> bytes:
    try:
        items = _many.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(_completed(msgspec.Raw(payload), told))
    return _encode([_completed(each, told) for each in items])


def _completed(reading: msgspec.Raw, told: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode({**told, **_one.decode(reading)}))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The codec says what is wrong.
        return reading
