"""What the predictor says of each reading, and how that travels.

Knows nothing of how a score is made.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Status(StrEnum):
    """What a verdict says of its reading."""

    NORMAL = "normal"
    FAILURE = "failure"
    WARMING_UP = "warming_up"
    INSUFFICIENT_DATA = "insufficient_data"
    NEW_NORMAL = "new_normal"
    LATE = "late"
    DUPLICATE = "duplicate"
    NO_MODEL = "no_model"


class Reason(StrEnum):
    """Why a verdict is what it is, where the status alone does not say."""

    SENSOR_FAULT = "SENSOR_FAULT"
    """A failure only because of sensors that are stuck or out of their range."""


class SensorContribution(msgspec.Struct, frozen=True):
    """One sensor's part in a score.

    Attributes
    ----------
    sensor
        Its name.
    share
        Its part of the deviation, 0 to 1; the shares of a verdict add up to 1.
    observed
        In the sensor's own unit: the smoothed observation.
    expected
        What it should be in the nearest cluster, given the other sensors where the model knows how
        they move together.
    expected_low, expected_high
        Nearly all ordinary values lie between these.
    direction
        Whether the observation is above or below what was expected.
    """

    sensor: str
    share: float
    observed: float
    expected: float
    expected_low: float
    expected_high: float
    direction: Literal["high", "low"]


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one model version says of one reading. Its identity is the reading's.

    Attributes
    ----------
    timestamp_ms
        The reading's, milliseconds since the epoch.
    status
        See `Status`. `failure` means a score above 1.0. `new_normal`: beyond every cluster, but in
        a state that has lasted so long that it is normal now; the alarm that it raised stays open
        and no longer grows.
    score
        Distance to the nearest cluster divided by the boundary, and for `new_normal` to the new
        state; None where nothing was scored.
    cluster
        Index of the nearest cluster.
    known
        False when the reading is far from every cluster.
    reason
        A code, where the status needs one. ``SENSOR_FAULT``: a failure only because of sensors
        that are stuck or out of their range, which `health` names.
    contributions
        Largest first; given near and above the boundary only, the rest can be recomputed.
    health
        What is wrong with single sensors: name -> ``missing``, ``silent``, ``stuck``,
        ``out_of_range``.
    """

    timestamp_ms: int
    status: Status
    score: float | None = None
    cluster: int | None = None
    known: bool = True
    reason: str | None = None
    contributions: tuple[SensorContribution, ...] = ()
    health: dict[str, str] = {}


class VerdictBatch(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Verdicts of one machine, all from one model version. The value of `sensor.verdicts`."""

    machine_id: str
    machine_type: str
    verdicts: tuple[Verdict, ...]
    model_name: str | None = None
    model_version: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(VerdictBatch)


def encode(batch: VerdictBatch) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(batch)


def decode(value: bytes) -> VerdictBatch:
    """Decode a message of `sensor.verdicts`.

    Raises
    ------
    msgspec.DecodeError
        When it is not one.
    """
    return _decoder.decode(value)
