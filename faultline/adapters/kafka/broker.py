"""Apache Kafka as the broker: where its producers, consumers, tails and readers come from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

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
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener
from faultline.settings import KafkaSettings
from faultline.topics import Topic, require_partitions

_READ_POLL_MS = 500
_PING_HOLDS_S = 2.0


class _Closable(Protocol):
    def close(self) -> None: ...


_Opened = TypeVar("_Opened", bound=_Closable)


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
        self._opened: list[_Closable] = []
        self._readers: list[KafkaConsumer] = []
        self._lock = threading.Lock()
        self._pinging = threading.Lock()
        self._pinged_at_s: float | None = None
        self._ping_answer: str | None = None

    def producer(self) -> Producer:
        """Open a producer; share one per process."""
        return self._kept(Producer(self._connection))

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> Consumer:
        """Join a group. Without a committed offset it starts at the earliest message."""
        return self._kept(Consumer(self._connection, group, topics, listener))

    def tail(self, topic: Topic) -> Tail:
        """Follow a topic from now on; when the broker is down, from when it is back."""
        tail = self._kept(Tail(self._connection, topic))
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
        reader = self._reader()
        try:
            with self._connection.translated(f"find the end of {_named(source)} in"):
                reader.assign([source])
                reader.seek_to_beginning(source)
                end = reader.end_offsets([source], timeout_ms=REQUEST_TIMEOUT_MS)[source]
        except BaseException:
            self._discard(reader)
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
        with self._pinging:
            if self._pinged_at_s is None or now() - self._pinged_at_s > _PING_HOLDS_S:
                self._ping_answer = self._ask()
                self._pinged_at_s = now()
            return self._ping_answer

    def close(self) -> None:
        """Close all that was opened through it."""
        with self._lock:
            opened, self._opened, self._readers = self._opened, [], []
        for each in reversed(opened):
            each.close()

    def _ask(self) -> str | None:
        try:
            reader = self._reader()
            try:
                with self._connection.translated("reach"):
                    # A connection of its own and the cluster's metadata.
                    reader.bootstrap(timeout_ms=OPEN_TIMEOUT_MS, refresh=True)
            except BaseException:
                self._discard(reader)
                raise
        except Unavailable as error:
            return str(error)
        self._give_back(reader)
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
            self._discard(reader)
            raise
        self._give_back(reader)

    def _reader(self) -> KafkaConsumer:
        with self._lock:
            if self._readers:
                return self._readers.pop()
        return self._kept(open_ungrouped(self._connection))

    def _give_back(self, reader: KafkaConsumer) -> None:
        """Keep it for the next one: connecting takes longer than reading a partition."""
        with self._lock:
            self._readers.append(reader)

    def _discard(self, reader: KafkaConsumer) -> None:
        with self._lock:
            if reader in self._opened:
                self._opened.remove(reader)
        reader.close()

    def _kept(self, opened: _Opened) -> _Opened:
        with self._lock:
            # Who reconnects again and again through an outage closes what it opened.
            self._opened = [
                each
                for each in self._opened
                if not (isinstance(each, Producer | Consumer | Tail) and each.closed)
            ]
            self._opened.append(opened)
        return opened


def _named(source: TopicPartition) -> str:
    return f"{source.topic}/{source.partition}"
