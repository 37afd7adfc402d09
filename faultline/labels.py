"""Labels: known faults with start and end, from simulators and operators."""

from __future__ import annotations

from typing import Literal

import msgspec


class FaultLabel(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A known fault. The value of `sensor.labels`.

    Attributes
    ----------
    kind
        Such as ``leak``, ``bearing_wear``, ``stuck_sensor``.
    sensors
        Those that show it.
    start_ms, end_ms
        Milliseconds since the epoch, end excluded; None while it lasts.
    severity
        0 to 1, in the sense of its kind.
    """

    machine_id: str
    kind: str
    start_ms: int
    end_ms: int | None = None
    sensors: tuple[str, ...] = ()
    severity: float = 1.0
    source: Literal["simulator", "operator"] = "simulator"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FaultLabel)


def encode(label: FaultLabel) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(label)


def decode(value: bytes) -> FaultLabel:
    """Decode a message of `sensor.labels`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)
