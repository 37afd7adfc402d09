"""How far a client of the live stream has come, and that as an event's id.

An id is the next offset of every partition, so it means the same at every replica.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from faultline.ports.broker import Partition
from faultline.topics import Topic

_ID = re.compile(r"\d{1,18}(?:[.-]\d{1,18})*", re.ASCII)


class Position:
    """Next offset per partition; grows only."""

    def __init__(self, offsets: Mapping[Partition, int]) -> None:
        self.offsets = dict(sorted(offsets.items()))

    def passes(self, partition: Partition, next_offset: int) -> bool:
        """Step past a message; False when it was behind already."""
        if next_offset <= self.offsets[partition]:
            return False
        self.offsets[partition] = next_offset
        return True

    def reach(self, offsets: Mapping[Partition, int]) -> None:
        """Come as far as these, wherever they are further."""
        for partition, offset in offsets.items():
            self.offsets[partition] = max(self.offsets[partition], offset)

    def has_reached(self, offsets: Mapping[Partition, int]) -> bool:
        """Whether it is nowhere behind these."""
        return all(self.offsets[partition] >= offset for partition, offset in offsets.items())

    def as_id(self, topics: Sequence[Topic]) -> str:
        """Offsets in the order of partitions, topic by topic.

        >>> from faultline.topics import ALARMS, MODEL_EVENTS
        >>> Position({Partition("model.events", 0): 7,
        ...           Partition("sensor.alarms", 0): 3, Partition("sensor.alarms", 1): 4}
        ... ).as_id([ALARMS, MODEL_EVENTS])
        '3.4-7'
        """
        by_topic: dict[str, list[str]] = {topic.name: [] for topic in topics}
        for partition, offset in self.offsets.items():
            by_topic[partition.topic].append(str(offset))
        return "-".join(".".join(offsets) for offsets in by_topic.values())


def from_id(
    text: str, topics: Sequence[Topic], partitions: Mapping[Partition, object]
) -> dict[Partition, int] | None:
    """Offsets that an id stands for; None when it is none of these topics' partitions."""
    if not _ID.fullmatch(text):
        return None
    given = [part.split(".") for part in text.split("-")]
    by_topic = [
        sorted(partition for partition in partitions if partition.topic == topic.name)
        for topic in topics
    ]
    if [len(offsets) for offsets in given] != [len(own) for own in by_topic]:
        return None
    return {
        partition: int(offset)
        for own, offsets in zip(by_topic, given, strict=True)
        for partition, offset in zip(own, offsets, strict=True)
    }
