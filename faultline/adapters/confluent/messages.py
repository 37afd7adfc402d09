"""What consumers, tails and readers share: librdkafka's messages become ours; missing topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer as Client
from confluent_kafka import Message as Raw
from confluent_kafka import TopicPartition

from faultline.adapters.confluent.connection import Connection
from faultline.errors import Unavailable
from faultline.ports.broker import Headers, Message, Partition


def converted(raw: Iterable[Raw]) -> list[Message]:
    """Messages without an error, in their order. A tombstone's value is empty."""
    partitions: dict[tuple[str | None, int | None], Partition] = {}
    messages: list[Message] = []
    for each in raw:
        name, number = each.topic(), each.partition()
        partition = partitions.get((name, number))
        if partition is None:
            assert name is not None
            assert number is not None
            partition = partitions[name, number] = Partition(name, number)
        headers = each.headers()
        messages.append(
            Message(
                partition,
                each.offset() or 0,
                each.key(),
                each.value() or b"",
                _headers(headers) if headers else (),
                each.timestamp()[1],
            )
        )
    return messages


def _headers(raw: object) -> Headers:
    assert isinstance(raw, list)
    return tuple((name, content or b"") for name, content in raw)


def waiting(client: Client, timeout_s: float, most: int) -> list[Raw]:
    """Messages that are there, and events: it waits for the first, not for the others."""
    first = client.poll(timeout_s)
    if first is None or most == 1:
        return [] if first is None else [first]
    return [first, *client.consume(most - 1, 0)]


def parted(raw: Iterable[Raw]) -> tuple[list[Raw], list[Raw]]:
    """Messages, and what only tells of an error or of an end."""
    good: list[Raw] = []
    errors: list[Raw] = []
    for each in raw:
        (good if each.error() is None else errors).append(each)
    return good, errors


def places(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    """Partitions with an offset each, as librdkafka takes them."""
    return [
        TopicPartition(partition.topic, partition.number, offset)
        for partition, offset in offsets.items()
    ]


def require_topics(connection: Connection, client: Client, names: Sequence[str]) -> list[Partition]:
    """All partitions of these topics; raises `Unavailable` when one does not exist."""
    found = connection.topics(client)
    for name in names:
        if not found.get(name):
            raise Unavailable(
                f"Kafka at {connection.servers} has no topic {name}; "
                "create the topics first (faultline topics)"
            )
    return [Partition(name, number) for name in names for number in range(found[name])]
