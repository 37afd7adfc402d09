"""Drift: what is no longer as a version learnt it, and what it is told by.

The values of `drift.events`, and the parts that replicas keep.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DriftKind(StrEnum):
    """What was compared."""

    SENSOR = "sensor"
    """The values of one sensor, by the Kolmogorov-Smirnov statistic."""
    CLUSTERS = "clusters"
    """The shares of the clusters, by the Jensen-Shannon distance."""
    SCORE = "score"
    """The scores: their distribution, by the Jensen-Shannon distance, and their level."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One comparison with the reference.

    Attributes
    ----------
    name
        The sensor; for the others ``mix``, ``distribution`` or ``level``.
    statistic
        How far apart: 0 to 1, but for the level, which is in boundaries (scores).
    threshold
        From where on it counts as drift.
    p_value
        How probable at least such a distance is without drift, corrected for the number of
        comparisons; None where there is no such figure.
    before, after
        Reference and readings, in words.
    """

    kind: DriftKind
    name: str
    statistic: float
    threshold: float
    p_value: float | None = None
    before: str = ""
    after: str = ""


class DriftEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Drift has begun.

    Attributes
    ----------
    event_id
        Unique; a repeated event changes nothing.
    at_ms
        When it was found, milliseconds since the epoch.
    findings
        All that drifts at this moment, the farthest over its threshold first.
    start_ms, end_ms
        First and last of the readings compared, by their own time.
    readings
        How many were compared.
    machines
        Of how many machines.
    """

    event_id: str
    machine_type: str
    model_name: str
    model_version: str
    at_ms: int
    findings: tuple[Finding, ...]
    start_ms: int
    end_ms: int
    readings: int
    machines: int = 1


class DriftPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica counted of the recent readings of its machines of a type.

    Attributes
    ----------
    replica
        Of one process: after a restart it is another.
    bundle_sha256
        Of the version that judged them.
    at_ms
        When they were counted, milliseconds since the epoch.
    start_ms, end_ms
        First and last of the readings, by their own time.
    machines
        Of how many machines.
    counts
        Packed; what packs them knows how.
    """

    replica: str
    machine_type: str
    bundle_sha256: str
    at_ms: int
    start_ms: int
    end_ms: int
    machines: int
    counts: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DriftEvent)


def encode(event: DriftEvent) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(event)


def decode(value: bytes) -> DriftEvent:
    """Decode a message of `drift.events`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)


def described(event: DriftEvent, most: int = 3) -> str:
    """Say what drifted and by how much, in a sentence for reasons and logs.

    >>> far = Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.3,
    ...               before="median 4.1", after="median 5")
    >>> described(DriftEvent(event_id="1", machine_type="pump", model_name="faultline-pump",
    ...     model_version="3", at_ms=0, findings=(far,), start_ms=0, end_ms=1, readings=2))
    'drift from version 3: sensor flow 0.5 (limit 0.3; was median 4.1, is median 5)'
    """
    told = [
        f"{found.kind} {found.name} {found.statistic:.3g} (limit {found.threshold:.3g}; "
        f"was {found.before}, is {found.after})"
        for found in event.findings[:most]
    ]
    if len(event.findings) > most:
        told.append(f"and {len(event.findings) - most} more")
    return f"drift from version {event.model_version}: {'; '.join(told)}"
