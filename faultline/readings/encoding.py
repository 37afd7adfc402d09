"""Puts readings into messages: one machine per message, bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from faultline.readings.reading import Reading
from faultline.readings.timestamps import format_timestamp

MAX_MESSAGE_BYTES = 900_000
"""Below the 1 MiB that a topic takes in one batch, headers and framing included."""


class _Outgoing(msgspec.Struct, omit_defaults=True, gc=False):
    machine_id: str
    machine_type: str
    timestamp: str
    sensors: dict[str, float | None]
    event_id: str | None = None
    traceparent: str | None = None


_encoder = msgspec.json.Encoder()


def _on_the_wire(reading: Reading) -> _Outgoing:
    return _Outgoing(
        reading.machine_id,
        reading.machine_type,
        format_timestamp(reading.timestamp_ms),
        reading.sensors,
        reading.event_id,
        reading.traceparent,
    )


def encode(reading: Reading) -> bytes:
    """One reading as a single message."""
    return _encoder.encode(_on_the_wire(reading))


def encode_batch(readings: Iterable[Reading]) -> bytes:
    """Several readings as one message. All should be of one machine, whose id is the key."""
    return _encoder.encode([_on_the_wire(reading) for reading in readings])


def encode_messages(
    readings: Iterable[Reading], max_readings: int, max_bytes: int = MAX_MESSAGE_BYTES
) -> Iterator[tuple[bytes, bytes]]:
    """Readings as messages for `sensor.readings`: keys and values, one machine per message.

    A machine's readings keep their order.

    Parameters
    ----------
    max_readings, max_bytes
        Bounds of a message. A single reading over `max_bytes` still is a message.
    """
    for machine_id, own in by_machine(readings).items():
        key = machine_id.encode()
        for batch in chunked(own, max_readings):
            for value in _within(batch, max_bytes):
                yield key, value


def _within(batch: Sequence[Reading], max_bytes: int) -> Iterator[bytes]:
    value = encode_batch(batch)
    if len(value) <= max_bytes or len(batch) == 1:
        yield value
        return
    half = len(batch) // 2
    yield from _within(batch[:half], max_bytes)
    yield from _within(batch[half:], max_bytes)


def by_machine(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Readings grouped by machine, each group in the order given."""
    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.machine_id, []).append(reading)
    return groups


def chunked(readings: Sequence[Reading], size: int) -> Iterable[Sequence[Reading]]:
    """Cut a sequence of readings into runs of at most `size`."""
    for start in range(0, len(readings), size):
        yield readings[start : start + size]
