"""Follows a Kafka topic from its present end, outside any group."""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaConsumer

from faultline.adapters.kafka.connection import REQUEST_TIMEOUT_MS, Connection
from faultline.adapters.kafka.messages import Reachability, flattened, require_topics
from faultline.errors import Unavailable
from faultline.ports.broker import Message
from faultline.topics import Topic


class Tail:
    """All of a topic from now on.

    "Now" is when it was made; if the broker was down then, the first poll that reaches it.
    """

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._connection = connection
        self._topic = topic
        self._kafka: KafkaConsumer | None = None
        self._closed = False
        self._reachability = Reachability(connection)

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """New messages; raises `Unavailable` when the broker cannot be reached."""
        kafka = self.open()
        with self._connection.translated(f"follow {self._topic.name} at"):
            records = kafka.poll(timeout_ms=timeout_s * 1000)
        if records:
            self._reachability.seen()
        else:
            self._reachability.check(kafka)
        return flattened(records)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Let go."""
        self._closed = True
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            kafka.close()

    def open(self) -> KafkaConsumer:
        """Find the end and stand there; raises `Unavailable` when the broker is down."""
        if self._kafka is not None:
            return self._kafka
        if self._closed:
            raise Unavailable(f"this tail of {self._topic.name} is closed; open another one")
        kafka = open_ungrouped(self._connection)
        try:
            self._stand_at_end(kafka)
        except BaseException:
            kafka.close()
            raise
        self._kafka = kafka
        return kafka

    def _stand_at_end(self, kafka: KafkaConsumer) -> None:
        name = self._topic.name
        partitions = require_topics(self._connection, kafka, [name])
        with self._connection.translated(f"find the end of {name} at"):
            kafka.assign(partitions)
            ends = kafka.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
            for partition, end in ends.items():
                kafka.seek(partition, end)


def open_ungrouped(connection: Connection) -> KafkaConsumer:
    """Open a consumer that is in no group and commits nothing."""
    return connection.open(
        KafkaConsumer,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
