"""Follows Kafka's topics from any offset, outside any group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, TopicPartition

from faultline.adapters.confluent.clients import ungrouped
from faultline.adapters.confluent.connection import REQUEST_TIMEOUT_S, Connection, Reachability
from faultline.adapters.confluent.messages import (
    converted,
    parted,
    places,
    require_topics,
    waiting,
)
from faultline.ports.broker import Message, Partition
from faultline.ports.feed import Extent
from faultline.settings import KafkaSettings
from faultline.topics import Topic

_MOST_MESSAGES = 500


class ConfluentFeed:
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

    def open(self, topics: Sequence[Topic]) -> ConfluentFollower:
        """Stand at the present end of these topics; raises `Unavailable`."""
        reachability = Reachability(self._connection)
        client = ungrouped(self._connection, reachability)
        try:
            return ConfluentFollower(
                self._connection, client, reachability, [topic.name for topic in topics]
            )
        except BaseException:
            client.close()
            raise


class ConfluentFollower:
    """See `faultline.ports.feed.Follower`."""

    def __init__(
        self,
        connection: Connection,
        client: Client,
        reachability: Reachability,
        names: Sequence[str],
    ) -> None:
        self._connection = connection
        self._client = client
        self._reachability = reachability
        self._doing = f"follow {', '.join(names)} at"
        with connection.translated(f"find the ends of {', '.join(names)} at"):
            self._extents = {
                partition: Extent(
                    *client.get_watermark_offsets(
                        TopicPartition(*partition), timeout=REQUEST_TIMEOUT_S
                    )
                )
                for partition in require_topics(connection, client, names)
            }
        self._positions = {partition: extent.end for partition, extent in self._extents.items()}
        self._is_placed = False

    @property
    def extents(self) -> Mapping[Partition, Extent]:
        """What each partition held when this was opened."""
        return self._extents

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        self._positions[partition] = offset
        self._is_placed = False

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Messages from where it stands on; raises `Unavailable`."""
        with self._connection.translated(self._doing):
            if not self._is_placed:
                # Once for all of them: librdkafka's seek takes only what it fetches already.
                self._client.assign(places(self._positions))
                self._is_placed = True
            good, told = parted(waiting(self._client, timeout_s, _MOST_MESSAGES))
        messages = converted(good)
        for message in messages:
            self._positions[message.partition] = message.offset + 1
        for each in told:
            error = each.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                # Beyond the last message, where there are a transaction's marks.
                partition = Partition(each.topic() or "", each.partition() or 0)
                self._positions[partition] = max(self._positions[partition], each.offset() or 0)
            elif error is not None and not messages:
                raise self._connection.unavailable(self._doing, error)
        if messages:
            self._reachability.seen()
        else:
            self._reachability.check(self._client)
        return messages

    def positions(self) -> Mapping[Partition, int]:
        """Offset of the message that it would read next, of every partition; never fails."""
        return dict(self._positions)

    def close(self) -> None:
        """Let go."""
        self._client.close()
