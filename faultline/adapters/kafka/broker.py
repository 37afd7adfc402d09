"""Apache Kafka as the broker: where its producers, consumers, tails and readers come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import TopicAlreadyExistsError

from faultline.adapters.kafka.connection import (
    OPEN_TIMEOUT_MS,
    REQUEST_TIMEOUT_MS,
    Connection,
)
from faultline.adapters.kafka.consumer import Consumer
from faultline.adapters.kafka.messages import Reachability, flattened
from faultline.adapters.kafka.producer import Producer
from faultline.adapters.kafka.tail import Tail, open_ungrouped
from faultline.adapters.openings import Openings, Ping
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener
from faultline.settings import KafkaSettings
from faultline.topics import Topic, require_partitions

_READ_POLL_MS = 500


class KafkaBroker:
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
        self._openings: Openings[KafkaConsumer] = Openings(lambda: open_ungrouped(self._connection))
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
        source = TopicPartition(*partition)
        reader = self._openings.reader()
        try:
            with self._connection.translated(f"find the end of {_named(source)} in"):
                reader.assign([source])
                reader.seek_to_beginning(source)
                end = reader.end_offsets([source], timeout_ms=REQUEST_TIMEOUT_MS)[source]
        except BaseException:
            self._openings.discard(reader)
            raise
        return self._read_to(reader, source, end)

    def create_topics(self, topics: Sequence[Topic]) -> Sequence[str]:
        """Create the topics that are missing; returns their names. Safe to repeat.

        Raises
        ------
        Conflict
            When one that exists has another number of partitions than declared.
        """
        admin = self._connection.open(KafkaAdminClient)
        try:
            with self._connection.translated("create topics at"):
                existing = set(admin.list_topics())
                created = []
                for topic in topics:
                    if topic.name in existing:
                        continue
                    wanted = {
                        "num_partitions": topic.partitions,
                        "replication_factor": self._replication_factor,
                        "configs": topic.config,
                    }
                    # Someone else may be doing the same.
                    with suppress(TopicAlreadyExistsError):
                        admin.create_topics({topic.name: wanted}, wait_for_metadata=True)
                        created.append(topic.name)
                described = admin.describe_topics([topic.name for topic in topics])
        finally:
            admin.close()
        require_partitions(topics, {each["name"]: len(each["partitions"]) for each in described})
        return created

    def ping(self, now: Callable[[], float] = time.monotonic) -> str | None:
        """Ask whether the cluster answers: None, or what is wrong.

        An answer holds for two seconds, so it may be asked as often as one likes.
        """
        return self._ping(now)

    def close(self) -> None:
        """Close all that was opened through it."""
        self._openings.close()

    def _ask(self) -> str | None:
        try:
            reader = self._openings.reader()
            try:
                with self._connection.translated("reach"):
                    # A connection of its own and the cluster's metadata.
                    reader.bootstrap(timeout_ms=OPEN_TIMEOUT_MS, refresh=True)
            except BaseException:
                self._openings.discard(reader)
                raise
        except Unavailable as error:
            return str(error)
        self._openings.give_back(reader)
        return None

    def _read_to(
        self, reader: KafkaConsumer, source: TopicPartition, end: int
    ) -> Iterator[Message]:
        reachability = Reachability(self._connection)
        try:
            with self._connection.translated(f"read {_named(source)} in"):
                # By position: the last offsets may be a transaction's marks or compacted away.
                while (reader.position(source, timeout_ms=REQUEST_TIMEOUT_MS) or 0) < end:
                    messages = flattened(reader.poll(timeout_ms=_READ_POLL_MS))
                    if not messages:
                        reachability.check(reader)
                    yield from (message for message in messages if message.offset < end)
        except BaseException:
            self._openings.discard(reader)
            raise
        self._openings.give_back(reader)


def _named(source: TopicPartition) -> str:
    return f"{source.topic}/{source.partition}"
