"""What consumers and tails share: records become messages; silence and missing topics, errors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from faultline.adapters.kafka.connection import Connection
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition

# The connections to a broker come and go in normal life; this long without any is an outage.
_SILENCE_S = 3.0


def flattened(records: Mapping[TopicPartition, Sequence[Any]]) -> list[Message]:
    """Records of one poll as messages, each partition's in order.

    Null as a value (a tombstone) or as a header's content becomes empty.
    """
    messages: list[Message] = []
    for topic_partition, own in records.items():
        partition = Partition(*topic_partition)
        messages.extend(
            Message(
                partition,
                record.offset,
                record.key,
                record.value or b"",
                tuple((name, content or b"") for name, content in record.headers),
                record.timestamp,
            )
            for record in own
        )
    return messages


def require_topics(
    connection: Connection, kafka: KafkaConsumer, names: Sequence[str]
) -> list[TopicPartition]:
    """All partitions of these topics; raises `Unavailable` when one does not exist."""
    partitions: list[TopicPartition] = []
    for name in names:
        with connection.translated(f"find topic {name} in"):
            numbers = kafka.partitions_for_topic(name)
        if not numbers:
            raise Unavailable(
                f"Kafka at {connection.servers} has no topic {name}; "
                "create the topics first (faultline topics)"
            )
        partitions += [TopicPartition(name, number) for number in sorted(numbers)]
    return partitions


class Reachability:
    """Tells an idle topic from a broker that is gone: kafka-python's poll is silent on both."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._connected_at_s = time.monotonic()

    def seen(self) -> None:
        """Note that the broker answered."""
        self._connected_at_s = time.monotonic()

    def check(self, kafka: KafkaConsumer) -> None:
        """Raise `Unavailable` when there has been no connection for a while."""
        # Not public, and nothing public tells; the contract suite would.
        connections = list(kafka._manager._conns.values())
        if any(connection.connected for connection in connections):
            self.seen()
        elif time.monotonic() - self._connected_at_s > _SILENCE_S:
            raise Unavailable(
                f"Kafka at {self._connection.servers} has not answered for {_SILENCE_S:g} s; "
                "consuming goes on when it is back"
            )
