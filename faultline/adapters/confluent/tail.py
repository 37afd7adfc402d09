"""Follows a Kafka topic from its present end, outside any group."""

from __future__ import annotations

from collections.abc import Sequence

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
from faultline.errors import Unavailable
from faultline.ports.broker import Message
from faultline.topics import Topic

_MOST_MESSAGES = 500


class Tail:
    """All of a topic from now on.

    "Now" is when it was made; if the broker was down then, the first poll that reaches it.
    """

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._connection = connection
        self._topic = topic
        self._client: Client | None = None
        self._closed = False
        self._reachability = Reachability(connection)

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """New messages; raises `Unavailable` when the broker cannot be reached."""
        client = self.open()
        doing = f"follow {self._topic.name} at"
        with self._connection.translated(doing):
            good, errors = parted(waiting(client, timeout_s, _MOST_MESSAGES))
        if good:
            self._reachability.seen()
            return converted(good)
        for each in errors:
            error = each.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise self._connection.unavailable(doing, error)
        self._reachability.check(client)
        return ()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Let go."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def open(self) -> Client:
        """Find the end and stand there; raises `Unavailable` when the broker is down."""
        if self._client is not None:
            return self._client
        if self._closed:
            raise Unavailable(f"this tail of {self._topic.name} is closed; open another one")
        client = ungrouped(self._connection, self._reachability)
        try:
            self._stand_at_end(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        return client

    def _stand_at_end(self, client: Client) -> None:
        name = self._topic.name
        partitions = require_topics(self._connection, client, [name])
        with self._connection.translated(f"find the end of {name} at"):
            client.assign(
                places(
                    {
                        partition: client.get_watermark_offsets(
                            TopicPartition(*partition), timeout=REQUEST_TIMEOUT_S
                        )[1]
                        for partition in partitions
                    }
                )
            )
