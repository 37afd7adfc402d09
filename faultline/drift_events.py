"""Drift events: what the live stream has come to differ in. The values of `drift.events`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DriftKind(StrEnum):
    """What has drifted: one sensor, the mix of clusters, or the level of the score."""

    SENSOR = "sensor"
    CLUSTERS = "clusters"
    SCORE = "score"


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that drifted, and by how much.

    Attributes
    ----------
    name
        The sensor; ``clusters`` and ``score`` for the other kinds.
    statistic, threshold
        What was measured, and above what it counts as drift.
    """

    kind: DriftKind
    name: str
    statistic: float
    threshold: float


class DriftEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of a machine type away from what its version was trained on.

    Attributes
    ----------
    event_id
        Unique; a repeated event changes nothing.
    at_ms
        When it was found, in milliseconds since the epoch.
    """

    event_id: str
    machine_type: str
    at_ms: int
    model_name: str
    model_version: str
    drifted: tuple[Drifted, ...]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DriftEvent)


def encode(event: DriftEvent) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(event)


def decode(value: bytes) -> DriftEvent:
    """Decode a message of `drift.events`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)


def described(event: DriftEvent) -> str:
    """What drifted, in words, the worst first.

    >>> flow = Drifted(kind=DriftKind.SENSOR, name="flow", statistic=0.42, threshold=0.2)
    >>> described(DriftEvent(event_id="e", machine_type="pump", at_ms=0,
    ...                      model_name="faultline-pump", model_version="3", drifted=(flow,)))
    'drift from version 3: sensor flow 0.42 (limit 0.2)'
    """
    worst_first = sorted(event.drifted, key=lambda one: -one.statistic / (one.threshold or 1.0))
    told = ", ".join(
        f"{one.kind} {one.name} {one.statistic:.3g} (limit {one.threshold:.3g})"
        if one.kind is DriftKind.SENSOR
        else f"{one.kind} {one.statistic:.3g} (limit {one.threshold:.3g})"
        for one in worst_first
    )
    return f"drift from version {event.model_version}: {told}"
