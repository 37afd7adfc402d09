"""What a reading is, and the limits that every one of them keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache

import msgspec

from faultline.errors import InvalidReading
from faultline.readings.refusal import short
from faultline.readings.timestamps import parse_timestamp, to_ms

MAX_MACHINE_ID_LENGTH = 128
MAX_SENSORS = 1_024
MAX_SENSOR_NAME_LENGTH = 128
MAX_ABSOLUTE_VALUE = 1e100
MAX_PASSENGER_LENGTH = 256
DEFAULT_MACHINE_TYPE = "default"

# Bounds of the lists of names known to be valid, some MiB at worst.
_REMEMBERED_LISTS = 256
_REMEMBERED_SENSORS = 64
_MACHINE_TYPE = re.compile(r"[a-z0-9_-]{1,63}")


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One validated reading. Build it with `make_reading` or `decode`, which check the limits.

    Attributes
    ----------
    machine_id
        1 to 128 printable characters.
    timestamp_ms
        Milliseconds since 1970-01-01T00:00:00Z.
    sensors
        1 to 1,024 named values; None is a missing value.
    machine_type
        Names the model that judges the reading.
    event_id, traceparent
        Travel along untouched; at most 256 characters each.
    """

    machine_id: str
    timestamp_ms: int
    sensors: dict[str, float | None]
    machine_type: str = DEFAULT_MACHINE_TYPE
    event_id: str | None = None
    traceparent: str | None = None

    @property
    def identity(self) -> tuple[str, int]:
        """What makes a reading one: sent twice, it is stored once."""
        return (self.machine_id, self.timestamp_ms)


class WireReading(msgspec.Struct, gc=False):
    """A reading as it stands in JSON; `sensors` is typed, so msgspec checks it in C."""

    machine_id: str
    timestamp: str | int | float
    sensors: dict[str, float | None]
    machine_type: str = DEFAULT_MACHINE_TYPE
    event_id: str | None = None
    traceparent: str | None = None


def make_reading(
    machine_id: str,
    timestamp: str | float | datetime,
    sensors: dict[str, float | None],
    machine_type: str = DEFAULT_MACHINE_TYPE,
) -> Reading:
    """Build a checked reading.

    Parameters
    ----------
    machine_id, sensors, machine_type
        As in `Reading`.
    timestamp
        RFC 3339 text, epoch milliseconds, or a datetime. Without a zone it is UTC.

    Raises
    ------
    InvalidReading
        Naming the field, its value and the limit it breaks.
    """
    if isinstance(timestamp, datetime):
        timestamp = to_ms(timestamp)
    return checked(WireReading(machine_id, timestamp, sensors, machine_type))


def check_machine_id(machine_id: str) -> None:
    """Raise `InvalidReading` when it is not 1 to 128 printable characters."""
    if not 1 <= len(machine_id) <= MAX_MACHINE_ID_LENGTH or not machine_id.isprintable():
        raise InvalidReading(
            f"machine_id: {short(machine_id)} must be 1 to {MAX_MACHINE_ID_LENGTH} "
            "printable characters"
        )


def checked(wire: WireReading) -> Reading:
    """Hold a reading of the right shape against the limits; raises `InvalidReading`."""
    check_machine_id(wire.machine_id)
    if _MACHINE_TYPE.fullmatch(wire.machine_type) is None:
        raise InvalidReading(
            f"machine_type: {short(wire.machine_type)} must be 1 to 63 of a-z, 0-9, '_', '-'"
        )
    sensors = wire.sensors
    if not 1 <= len(sensors) <= MAX_SENSORS:
        raise InvalidReading(f"sensors: {len(sensors)} given, must be 1 to {MAX_SENSORS}")
    _check_names(sensors)
    _check_values(sensors)
    for field, text in (("event_id", wire.event_id), ("traceparent", wire.traceparent)):
        # A reading has to fit into a message, whatever else it carries.
        if text is not None and len(text) > MAX_PASSENGER_LENGTH:
            raise InvalidReading(
                f"{field}: {short(text)} must be at most {MAX_PASSENGER_LENGTH} characters"
            )
    return Reading(
        machine_id=wire.machine_id,
        timestamp_ms=parse_timestamp(wire.timestamp),
        sensors=sensors,
        machine_type=wire.machine_type,
        event_id=wire.event_id,
        traceparent=wire.traceparent,
    )


def _check_names(sensors: Mapping[str, float | None]) -> None:
    # What a machine sends has the same names over and over.
    names = tuple(sensors)
    if len(names) <= _REMEMBERED_SENSORS:
        _check_remembered(names)
    else:
        _check_each(names)


def _check_each(names: tuple[str, ...]) -> None:
    for name in names:
        if not 1 <= len(name) <= MAX_SENSOR_NAME_LENGTH or not name.isprintable():
            raise InvalidReading(
                f"sensors: the name {short(name)} must be 1 to {MAX_SENSOR_NAME_LENGTH} "
                "printable characters"
            )


_check_remembered = lru_cache(maxsize=_REMEMBERED_LISTS)(_check_each)


def _check_values(sensors: Mapping[str, float | None]) -> None:
    # None is larger in size than the norm of all.
    if _norm(sensors.values()) <= MAX_ABSOLUTE_VALUE:
        return
    for name, value in sensors.items():
        # Written so that NaN fails it too.
        if value is not None and not -MAX_ABSOLUTE_VALUE <= value <= MAX_ABSOLUTE_VALUE:
            raise InvalidReading(
                f"sensors.{name}: {value!r} must be a finite number of at most "
                f"{MAX_ABSOLUTE_VALUE:g} in size; send null for a missing value"
            )


def _norm(values: Collection[float | None]) -> float:
    """Euclidean norm; NaN or infinity where one is missing or not finite."""
    try:
        return math.hypot(*values)  # type: ignore[arg-type]  # It says when one is missing.
    except (TypeError, OverflowError):
        return math.inf
