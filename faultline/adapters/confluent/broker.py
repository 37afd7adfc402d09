"""Apache Kafka as the broker: where its producers, consumers, tails and readers come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Raw
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from faultline.adapters.confluent.clients import ungrouped
from faultline.adapters.confluent.connection import (
    OPEN_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    Connection,
    Reachability,
)
from faultline.adapters.confluent.consumer import Consumer
from faultline.adapters.confluent.messages import converted, parted, waiting
from faultline.adapters.confluent.producer import Producer
from faultline.adapters.confluent.tail import Tail
from faultline.adapters.openings import Openings, Ping
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener
from faultline.settings import KafkaSettings
from faultline.topics import Topic, require_partitions

_READ_POLL_S = 0.5
_READ_MESSAGES = 500


class _Reader:
    """A client that reads partitions, one after the other."""

    def __init__(self, connection: Connection) -> None:
        self.reachability = Reachability(connection)
        self.client: Client = ungrouped(connection, self.reachability)

        self._closed = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.client.close()


class ConfluentBroker:
    """See `faultline.ports.broker.Broker`. Making one connects to nothing.

    Parameters
    ----------
    settings
        Where the brokers are, how to reach them, how much may be in flight.
    client_id
        Names the process in the broker's logs.
    """

    def __init__(self, settings: KafkaSettings, client_id: str = "faultline") -> None:
        self._connection = Connection(settings, client_id)
        self._replication_factor = settings.kafka_replication_factor
        self._openings: Openings[_Reader] = Openings(lambda: _Reader(self._connection))
        self._ping = Ping(self._ask)

    def producer(self) -> Producer:
        """Open a producer; share one per process."""
        return self._openings.kept(Producer(self._connection))

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> Consumer:
        """Join a group. Without a committed offset it starts at the earliest message."""
        return self._openings.kept(Consumer(self._connection, group, topics, listener))

    def tail(self, topic: Topic) -> Tail:
        """Follow a topic from now on; when the broker is down, from when it is back."""
        tail = self._openings.kept(Tail(self._connection, topic))
        with suppress(Unavailable):
            tail.open()
        return tail

    def read(self, partition: Partition) -> Iterator[Message]:
        """All messages of a partition from its beginning to its end at the time of the call.

        Raises
        ------
        Unavailable
            When the broker does not answer, also while the messages are being read.
        """
        reader = self._openings.reader()
        try:
            with self._connection.translated(f"find the end of {_named(partition)} in"):
                first, end = reader.client.get_watermark_offsets(
                    TopicPartition(*partition), timeout=REQUEST_TIMEOUT_S
                )
        except BaseException:
            self._openings.discard(reader)
            raise
        return self._read_to(reader, partition, first, end)

    def create_topics(self, topics: Sequence[Topic]) -> Sequence[str]:
        """Create the topics that are missing; returns their names. Safe to repeat.

        Raises
        ------
        Conflict
            When one that exists has another number of partitions than declared.
        """
        admin = AdminClient(self._connection.config())
        existing = self._connection.topics(admin)
        created = []
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=self._replication_factor,
                config=dict(topic.config),
            )
            for topic in topics
            if topic.name not in existing
        ]
        if wanted:
            outcomes = admin.create_topics(wanted, operation_timeout=REQUEST_TIMEOUT_S)
            for name, outcome in outcomes.items():
                with self._connection.translated(f"create topic {name} at"):
                    try:
                        outcome.result(REQUEST_TIMEOUT_S)
                        created.append(name)
                    except KafkaException as error:
                        # Someone else may be doing the same.
                        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                            raise
        require_partitions(topics, self._described(admin, topics))
        return created

    def ping(self, now: Callable[[], float] = time.monotonic) -> str | None:
        """Ask whether the cluster answers: None, or what is wrong.

        An answer holds for two seconds, so it may be asked as often as one likes.
        """
        return self._ping(now)

    def close(self) -> None:
        """Close all that was opened through it."""
        self._openings.close()

    def _described(self, admin: AdminClient, topics: Sequence[Topic]) -> dict[str, int]:
        """Partitions of the topics, once the broker that is asked knows of all."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            existing = self._connection.topics(admin)
            found = {topic.name: existing.get(topic.name, 0) for topic in topics}
            if all(found.values()) or time.monotonic() > deadline:
                return found
            admin.poll(0.1)

    def _ask(self) -> str | None:
        reader = self._openings.reader()
        try:
            self._connection.topics(reader.client, OPEN_TIMEOUT_S)
        except Unavailable as error:
            self._openings.discard(reader)
            return str(error)
        self._openings.give_back(reader)
        return None

    def _read_to(
        self, reader: _Reader, partition: Partition, first: int, end: int
    ) -> Iterator[Message]:
        doing = f"read {_named(partition)} in"
        try:
            with self._connection.translated(doing):
                reader.client.assign([TopicPartition(*partition, first)])
                position = first
                while position < end:
                    raw = waiting(reader.client, _READ_POLL_S, _READ_MESSAGES)
                    if not raw:
                        reader.reachability.check(reader.client)
                    good, errors = parted(raw)
                    messages = converted(good)
                    yield from (message for message in messages if message.offset < end)
                    position = max([position, *(message.offset + 1 for message in messages)])
                    for error in errors:
                        # The last offsets may be a transaction's marks or compacted away.
                        position = max(position, _end_told(error))
                reader.client.unassign()
        except BaseException:
            self._openings.discard(reader)
            raise
        self._openings.give_back(reader)


def _end_told(raw: Raw) -> int:
    """The offset at which librdkafka says that the partition ends."""
    error = raw.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return raw.offset() or 0


def _named(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"
