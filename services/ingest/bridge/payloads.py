"""Takes payloads apart: readings in JSON, or one value of one sensor.

Pure. What comes out is within the limits of every reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from faultline.errors import InvalidReading
from faultline.readings import Decoded, completed, decode, make_reading, parse_timestamp
from services.ingest.bridge.subscriptions import Subscription

MAX_BYTES = 1_000_000
"""A larger payload is refused unread."""
# A small reading costs little to send and a hundred times that to take apart.
_MAX_VALUES = 100_000
# JSON's decoder takes longer numbers; this is for those that JSON does not write so.
_NUMBER_BYTES = 64
_NUMBER = re.compile(rb"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?")
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
    _require_small(payload)
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
        if len(text) <= _NUMBER_BYTES and _NUMBER.fullmatch(text):
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


def read_readings(payload: bytes, told: Mapping[str, str]) -> Decoded:
    """Readings on the wire, one or an array.

    Parameters
    ----------
    told
        What they leave out of themselves, see `left_out`.

    Raises
    ------
    InvalidReading
        When the payload as a whole cannot be read, or is too large.
    """
    _require_small(payload)
    values = payload.count(b",") + 1
    if values > _MAX_VALUES:
        raise InvalidReading(
            f"message has about {values} values, which is over the limit of {_MAX_VALUES}; send "
            "the readings in several messages"
        )
    return decode(completed(payload, told))


def left_out(subscription: Subscription, said: Mapping[str, str]) -> dict[str, str]:
    """What readings of a topic may leave out of themselves, by field."""
    told = {"machine_type": said.get("machine_type", subscription.machine_type)}
    if "machine" in said:
        told["machine_id"] = said["machine"]
    return told


def _require_small(payload: bytes) -> None:
    if len(payload) > MAX_BYTES:
        raise InvalidReading(
            f"message of {len(payload)} bytes is over the limit of {MAX_BYTES}; send the readings "
            "in several messages"
        )
