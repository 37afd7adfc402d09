"""Every topic, declared once: name, key, partitions, retention. Created by one idempotent step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faultline.errors import Conflict

_DAY_MS = 24 * 60 * 60 * 1000
_COMPACTED_SEGMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Topic:
    """A topic's declaration.

    Attributes
    ----------
    key
        What the message key is.
    about
        What a message is, in a sentence.
    partitions
        Topics keyed by machine have the same number, so one machine has the same partition in all.
    retention_ms
        How long messages are kept; None for a compacted topic, which keeps the last per key.
    max_message_bytes
        The largest message that it takes; None leaves that to the broker (1 MiB by default).
    """

    name: str
    key: str
    about: str
    partitions: int
    retention_ms: int | None
    max_message_bytes: int | None = None

    @property
    def config(self) -> dict[str, str]:
        """The broker's configuration entries for it."""
        size = (
            {}
            if self.max_message_bytes is None
            else {"max.message.bytes": str(self.max_message_bytes)}
        )
        if self.retention_ms is None:
            # With the broker's defaults a partition grows by a gigabyte before it is compacted,
            # and whoever restores from it reads all of that.
            return {
                **size,
                "cleanup.policy": "compact",
                "segment.bytes": str(_COMPACTED_SEGMENT_BYTES),
                "min.cleanable.dirty.ratio": "0.1",
            }
        return {**size, "cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


def require_partitions(topics: Sequence[Topic], found: Mapping[str, int]) -> None:
    """Hold the partitions that topics have, by name, against their declarations.

    Raises
    ------
    Conflict
        When one has another number, so that a machine would not have one partition in all.
    """
    wrong = [
        f"{topic.name} has {found[topic.name]} partitions, not {topic.partitions}"
        for topic in topics
        if topic.name in found and found[topic.name] != topic.partitions
    ]
    if wrong:
        raise Conflict(f"{'; '.join(wrong)}: delete and create anew what should not be so")


_MACHINE_PARTITIONS = 6

READINGS = Topic(
    "sensor.readings",
    "machine_id",
    "Readings, single or batched.",
    _MACHINE_PARTITIONS,
    7 * _DAY_MS,
)
READINGS_DLQ = Topic(
    "sensor.readings.dlq",
    "machine_id or none",
    "Refused messages, their bytes unchanged, the reason in headers.",
    1,
    30 * _DAY_MS,
    # The largest message of the other topics, and its reason.
    max_message_bytes=2 * 1024 * 1024,
)
VERDICTS = Topic(
    "sensor.verdicts",
    "machine_id",
    "Verdicts, batched per machine, each batch from one model version.",
    _MACHINE_PARTITIONS,
    7 * _DAY_MS,
)
ALARMS = Topic(
    "sensor.alarms",
    "machine_id",
    "Alarms opened, updated, closed.",
    _MACHINE_PARTITIONS,
    30 * _DAY_MS,
)
LABELS = Topic(
    "sensor.labels",
    "machine_id",
    "Known faults with start and end.",
    _MACHINE_PARTITIONS,
    30 * _DAY_MS,
)
PREDICTOR_STATE = Topic(
    "predictor.state",
    "machine_id",
    "Each machine's window and counters, with the offset they stand at.",
    _MACHINE_PARTITIONS,
    None,
)
MODEL_EVENTS = Topic(
    "model.events",
    "model name",
    "Versions registered, promoted, archived, rolled back, refused.",
    1,
    90 * _DAY_MS,
)
DRIFT_EVENTS = Topic(
    "drift.events",
    "machine_type",
    "Drift found, with what drifted and by how much.",
    1,
    90 * _DAY_MS,
)

MODEL_COMPARISONS = Topic(
    "model.comparisons",
    "model name",
    "How a challenger does beside the champion: counts of one process, which only grow.",
    1,
    7 * _DAY_MS,
)

BRIDGE_STATE = Topic(
    "bridge.state",
    "bridge, machine_type, machine_id",
    "What the MQTT bridge has of each machine that sends its values one by one.",
    1,
    None,
    # A thousand sensors with long names, and several rows under way.
    max_message_bytes=8 * 1024 * 1024,
)

ALL = (
    READINGS,
    READINGS_DLQ,
    VERDICTS,
    ALARMS,
    LABELS,
    PREDICTOR_STATE,
    MODEL_EVENTS,
    DRIFT_EVENTS,
    MODEL_COMPARISONS,
    BRIDGE_STATE,
)
