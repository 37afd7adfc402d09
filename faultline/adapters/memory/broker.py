"""A broker in memory that behaves as Kafka does towards one process, for tests and examples.

It can be stopped and started, and can throw a group's members out, as a real one might.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from faultline.adapters.memory.group import MemoryConsumer, MemoryGroup
from faultline.errors import Overloaded, Unavailable
from faultline.ports.broker import Headers, Message, Partition, RebalanceListener
from faultline.topics import Topic, require_partitions

_DEFAULT_IN_FLIGHT_BYTES = 64 * 1024 * 1024


class MemoryBroker:
    """See `faultline.ports.broker.Broker`. Safe to share between threads.

    Parameters
    ----------
    max_in_flight_bytes
        What a producer may have sent without having waited for it, before it refuses more.
    """

    def __init__(self, max_in_flight_bytes: int = _DEFAULT_IN_FLIGHT_BYTES) -> None:
        self._max_in_flight_bytes = max_in_flight_bytes
        self.changed = threading.Condition()
        self._logs: dict[str, list[list[Message]]] = {}
        self._groups: dict[str, MemoryGroup] = defaultdict(lambda: MemoryGroup(self))
        self._running = True
        self._keyless = 0

    def producer(self) -> MemoryProducer:
        """Open a producer."""
        return MemoryProducer(self, self._max_in_flight_bytes)

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> MemoryConsumer:
        """Join a group. Without a committed offset it starts at the earliest message."""
        with self.changed:
            members = self._groups[group]
        return MemoryConsumer(self, members, [topic.name for topic in topics], listener)

    def tail(self, topic: Topic) -> MemoryTail:
        """Follow a topic from now on."""
        return MemoryTail(self, topic.name)

    def read(self, partition: Partition) -> Iterator[Message]:
        """All messages of a partition from its beginning to its end at the time of the call."""
        return iter(self.messages(partition))

    def create_topics(self, topics: Sequence[Topic]) -> Sequence[str]:
        """Create the topics that are missing; returns their names."""
        with self.changed:
            self.require_running()
            missing = [topic for topic in topics if topic.name not in self._logs]
            for topic in missing:
                self._logs[topic.name] = [[] for _ in range(topic.partitions)]
            self.changed.notify_all()
            require_partitions(
                topics, {topic.name: len(self._logs[topic.name]) for topic in topics}
            )
        return [topic.name for topic in missing]

    def ping(self) -> str | None:
        """None, or what is wrong."""
        return None if self._running else "the broker is stopped"

    def close(self) -> None:
        """Nothing is held that needs closing."""

    def stop(self) -> None:
        """From now on everything raises `Unavailable`; what was sent stays."""
        with self.changed:
            self._running = False
            self.changed.notify_all()

    def start(self) -> None:
        """Answer again."""
        with self.changed:
            self._running = True
            self.changed.notify_all()

    def evict(self, group: str) -> None:
        """Throw all members of a group out, as if none had been heard of for too long."""
        with self.changed:
            self._groups[group].evict_all()
            self.changed.notify_all()

    def committed(self, group: str) -> Mapping[Partition, int]:
        """All committed offsets of a group."""
        with self.changed:
            return dict(self._groups[group].committed)

    def sent(self, topic: str) -> list[Message]:
        """All messages of a topic, partition by partition."""
        return [
            message for partition in self.partitions(topic) for message in self.messages(partition)
        ]

    def partitions(self, topic: str) -> list[Partition]:
        """Partitions of a topic; none if it does not exist."""
        with self.changed:
            return [Partition(topic, number) for number in range(len(self._logs.get(topic, ())))]

    def messages(self, partition: Partition, offset: int = 0) -> list[Message]:
        """Messages of a partition from an offset on."""
        with self.changed:
            self.require_running()
            return self._logs[partition.topic][partition.number][offset:]

    def end(self, partition: Partition) -> int:
        """Offset that the partition's next message will have."""
        with self.changed:
            return len(self._logs[partition.topic][partition.number])

    def append(
        self, topic: str, key: bytes | None, value: bytes, headers: Headers, partition: int | None
    ) -> None:
        """Add a message to a partition, or to the one that its key belongs to."""
        with self.changed:
            self.require_running()
            logs = self._logs.get(topic)
            if logs is None:
                raise Unavailable(f"there is no topic {topic}; create the topics first")
            if key is None:
                self._keyless += 1
            number = partition
            if number is None:
                number = (self._keyless if key is None else zlib.crc32(key)) % len(logs)
            log = logs[number]
            now_ms = time.time_ns() // 1_000_000
            log.append(
                Message(Partition(topic, number), len(log), key, value, tuple(headers), now_ms)
            )
            self.changed.notify_all()

    def require_running(self) -> None:
        """Raise `Unavailable` while it is stopped."""
        if not self._running:
            raise Unavailable("the broker is stopped")


class MemoryDelivery:
    """A message that the broker has; it counts as in flight until someone waits for it."""

    def __init__(self, producer: MemoryProducer, size: int) -> None:
        self._producer = producer
        self.size = size

    def wait(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's; here all is at once
        """Return at once."""
        self._producer.settled([self])


class MemoryProducer:
    """Sends to the broker in memory.

    A message can be read at once, and counts as in flight until it is waited for or flushed.
    """

    def __init__(self, broker: MemoryBroker, capacity: int) -> None:
        self._broker = broker
        self._capacity = capacity
        self._in_flight: dict[int, MemoryDelivery] = {}

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> MemoryDelivery:
        """Hand a message over; raises `Overloaded` or `Unavailable` as Kafka's does."""
        size = len(value) + len(key or b"")
        with self._broker.changed:
            in_flight = sum(delivery.size for delivery in self._in_flight.values())
            if in_flight and in_flight + size > self._capacity:
                raise Overloaded(f"{in_flight} bytes are in flight already; slow down")
            self._broker.append(topic, key, value, headers, partition)
            delivery = MemoryDelivery(self, size)
            self._in_flight[id(delivery)] = delivery
        return delivery

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's; here all is at once
        """Return at once; raises `Unavailable` while the broker is stopped."""
        with self._broker.changed:
            if self._in_flight:
                self._broker.require_running()
            self._in_flight.clear()

    def settled(self, deliveries: Collection[MemoryDelivery]) -> None:
        """Count these as in flight no more."""
        with self._broker.changed:
            for delivery in deliveries:
                self._in_flight.pop(id(delivery), None)

    def close(self) -> None:
        """Let go."""
        with self._broker.changed:
            self._in_flight.clear()


class MemoryTail:
    """Follows a topic from the end that it had when this was made."""

    def __init__(self, broker: MemoryBroker, topic: str) -> None:
        self._broker = broker
        self._positions = {
            partition: broker.end(partition) for partition in broker.partitions(topic)
        }

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """New messages; raises `Unavailable` while the broker is stopped."""
        deadline = time.monotonic() + timeout_s
        with self._broker.changed:
            while True:
                self._broker.require_running()
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

    def close(self) -> None:
        """Let go."""
