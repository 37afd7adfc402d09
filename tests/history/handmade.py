"""Parts of histories that are made by hand."""

from __future__ import annotations

from faultline.ports.broker import Message, Partition
from faultline.readings import Reading, make_reading

PARTITION = Partition("sensor.readings", 0)


def reading(second: int, value: float = 0.0) -> Reading:
    return make_reading("pump", second * 1_000, {"flow": value})


def message(offset: int, value: bytes) -> Message:
    """A message of `sensor.readings`."""
    return Message(PARTITION, offset, b"pump", value)
