"""The broker: messages in partitions, consumed in groups, acknowledged when produced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from faultline.topics import Topic

Headers = tuple[tuple[str, bytes], ...]


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Message(NamedTuple):
    """A consumed message. `timestamp_ms` is the broker's or the producer's, since the epoch."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers = ()
    timestamp_ms: int = 0


class Delivery(Protocol):
    """The fate of one message that was sent."""

    def wait(self, timeout_s: float) -> None:
        """Return once the broker has it on all replicas in sync.

        Raises
        ------
        Unavailable
            When it has not within `timeout_s`, or failed; it may be sent again.
        FaultlineError
            When the broker refuses it for good: it is larger than the topic takes.
        """


class Producer(Protocol):
    """Sends messages with acks=all, idempotently. Safe to share between threads."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        """Hand a message over; messages of one key keep their order.

        Parameters
        ----------
        value
            An empty one with a key is a tombstone: a compacted topic forgets the key.
        partition
            Where it goes; None leaves that to the key.

        Raises
        ------
        Overloaded
            When too many bytes are in flight already: memory stays bounded.
        Unavailable
            When the broker cannot be reached.
        """

    def flush(self, timeout_s: float) -> None:
        """Return once everything sent before is acknowledged.

        Raises
        ------
        Unavailable
            When one message failed since the last flush, or time ran out.
        FaultlineError
            When the broker refused one for good: it is larger than its topic takes.
        """

    def close(self) -> None:
        """Send what is left, within a few seconds, and let go."""


class RebalanceListener(Protocol):
    """Told when partitions come and go; called from within `Consumer.poll`."""

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Prepare (restore, seek) before the first message of these partitions arrives."""

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Finish and commit what is under way; the partitions go to another consumer."""

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Forget what is under way and send nothing: the group has thrown this member out.

        Another consumer may have these partitions already, and be further on.
        """


class Consumer(Protocol):
    """One member of a consumer group. Used from one thread."""

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        """Messages of the assigned partitions, each partition's in order; none is no error.

        Raises
        ------
        Unavailable
            When the broker cannot be reached.
        """

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, per partition, the offset of the next message to read.

        Raises
        ------
        Unavailable
            When the broker cannot be reached, or the group has moved on (a rebalance).
        """

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets; partitions without one are left out."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""

    def lag(self) -> Mapping[Partition, int]:
        """Messages behind the end, per assigned partition, as far as known."""

    def close(self) -> None:
        """Leave the group."""


class Tail(Protocol):
    """Follows all of a topic from its present end, outside any group."""

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """New messages; raises `Unavailable` when the broker cannot be reached."""

    def close(self) -> None:
        """Let go."""


class Broker(Protocol):
    """Where producers and consumers come from.

    Nothing here fails because the broker is down at that moment: the first call that needs it does,
    with `Unavailable`.
    """

    def producer(self) -> Producer:
        """Open a producer; share one per process."""

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> Consumer:
        """Join a group. Without a committed offset it starts at the earliest message."""

    def tail(self, topic: Topic) -> Tail:
        """Follow a topic from now on."""

    def read(self, partition: Partition) -> Iterator[Message]:
        """All messages of a partition from its beginning to its end at the time of the call."""

    def create_topics(self, topics: Sequence[Topic]) -> Sequence[str]:
        """Create the topics that are missing; returns their names. Safe to repeat.

        Raises
        ------
        Conflict
            When one that exists has another number of partitions than declared.
        """

    def close(self) -> None:
        """Close all that was opened through it."""
