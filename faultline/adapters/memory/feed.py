"""A feed of the broker in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from faultline.adapters.memory.broker import MemoryBroker
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition
from faultline.ports.feed import Extent
from faultline.topics import Topic


class MemoryFeed:
    """See `faultline.ports.feed.Feed`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def open(self, topics: Sequence[Topic]) -> MemoryFollower:
        """Stand at the present end of these topics; raises `Unavailable` while it is stopped."""
        return MemoryFollower(self._broker, topics)


class MemoryFollower:
    """See `faultline.ports.feed.Follower`."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[Topic]) -> None:
        self._broker = broker
        with broker.changed:
            broker.require_running()
            self.extents: Mapping[Partition, Extent] = {
                partition: Extent(0, broker.end(partition))
                for topic in topics
                for partition in _partitions(broker, topic)
            }
        self._positions = {partition: extent.end for partition, extent in self.extents.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        self._positions[partition] = offset

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Messages from where it stands on; raises `Unavailable` while the broker is stopped."""
        deadline = time.monotonic() + timeout_s
        with self._broker.changed:
            while True:
                messages = [
                    message
                    for partition, position in self._positions.items()
                    for message in self._broker.messages(partition, position)
                ]
                left = deadline - time.monotonic()
                if messages or left <= 0:
                    break
                self._broker.changed.wait(left)
        for message in messages:
            self._positions[message.partition] = message.offset + 1
        return messages

    def positions(self) -> Mapping[Partition, int]:
        """Offset of the message that it would read next, of every partition."""
        return dict(self._positions)

    def close(self) -> None:
        """Nothing is held that needs closing."""


def _partitions(broker: MemoryBroker, topic: Topic) -> list[Partition]:
    found = broker.partitions(topic.name)
    if not found:
        raise Unavailable(f"there is no topic {topic.name}; create the topics first")
    return found
