"""Follows Kafka's topics from any offset, outside any group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from faultline.adapters.kafka.connection import REQUEST_TIMEOUT_MS, Connection
from faultline.adapters.kafka.messages import Reachability, flattened, require_topics
from faultline.adapters.kafka.tail import open_ungrouped
from faultline.ports.broker import Message, Partition
from faultline.ports.feed import Extent
from faultline.settings import KafkaSettings
from faultline.topics import Topic


class KafkaFeed:
    """See `faultline.ports.feed.Feed`. Making one connects to nothing.

    Parameters
    ----------
    settings
        Where the brokers are, and how to reach them.
    client_id
        Names the process in the broker's logs.
    """

    def __init__(self, settings: KafkaSettings, client_id: str = "faultline") -> None:
        self._connection = Connection(settings, client_id)

    def open(self, topics: Sequence[Topic]) -> KafkaFollower:
        """Stand at the present end of these topics; raises `Unavailable`."""
        kafka = open_ungrouped(self._connection)
        try:
            return KafkaFollower(self._connection, kafka, [topic.name for topic in topics])
        except BaseException:
            kafka.close()
            raise


class KafkaFollower:
    """See `faultline.ports.feed.Follower`."""

    def __init__(self, connection: Connection, kafka: KafkaConsumer, names: Sequence[str]) -> None:
        self._connection = connection
        self._kafka = kafka
        self._reachability = Reachability(connection)
        self._named = ", ".join(names)
        partitions = require_topics(connection, kafka, names)
        with connection.translated(f"find the ends of {self._named} at"):
            kafka.assign(partitions)
            first = kafka.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
            end = kafka.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
            for partition in partitions:
                kafka.seek(partition, end[partition])
        self._extents = {
            Partition(*partition): Extent(first[partition], end[partition])
            for partition in partitions
        }
        self._positions = {partition: extent.end for partition, extent in self._extents.items()}

    @property
    def extents(self) -> Mapping[Partition, Extent]:
        """What each partition held when this was opened."""
        return self._extents

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        self._kafka.seek(TopicPartition(*partition), offset)
        self._positions[partition] = offset

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Messages from where it stands on; raises `Unavailable`."""
        with self._connection.translated(f"follow {self._named} at"):
            records = self._kafka.poll(timeout_ms=timeout_s * 1000)
        if records:
            self._reachability.seen()
        else:
            self._reachability.check(self._kafka)
        messages = flattened(records)
        for message in messages:
            self._positions[message.partition] = message.offset + 1
        return messages

    def positions(self) -> Mapping[Partition, int]:
        """Offset of the message that it would read next, of every partition; never fails."""
        for partition, known in self._positions.items():
            # Beyond the last message, where there are a transaction's marks.
            with suppress(KafkaError):
                position = self._kafka.position(TopicPartition(*partition), timeout_ms=0)
                self._positions[partition] = max(known, position or 0)
        return dict(self._positions)

    def close(self) -> None:
        """Let go."""
        self._kafka.close()
