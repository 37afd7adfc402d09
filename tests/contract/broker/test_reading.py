"""Reading beside any group: the tail of a topic, and a partition from its beginning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from faultline.ports.broker import Broker, Partition
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


def test_a_tail_gives_what_comes_after_it_was_made(rig: Rig, broker: Broker, topic: Topic) -> None:
    rig.send(broker, topic, b"before")
    tail = broker.tail(topic)
    for key in (b"a", b"b", b"c", b"d"):
        rig.send(broker, topic, b"after", key=key)
    values: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(values) < 4 and time.monotonic() < deadline:
        values += rig.values(tail.poll(0.2))
    tail.close()
    assert values == [b"after"] * 4


def test_a_tail_without_news_is_empty(rig: Rig, broker: Broker, topic: Topic) -> None:
    rig.send(broker, topic, b"before")
    assert list(broker.tail(topic).poll(0.3)) == []


def test_reading_a_partition_ends_where_it_ended_at_the_call(rig: Rig, broker: Broker) -> None:
    topic = rig.topic(broker, 1)
    rig.send(broker, topic, b"1", b"2")
    messages = broker.read(Partition(topic.name, 0))
    rig.send(broker, topic, b"3")
    assert rig.values(list(messages)) == [b"1", b"2"]


def test_reading_an_empty_partition_gives_nothing(rig: Rig, broker: Broker) -> None:
    topic = rig.topic(broker, 1)
    assert list(broker.read(Partition(topic.name, 0))) == []


def test_reading_the_same_partition_twice_gives_the_same(rig: Rig, broker: Broker) -> None:
    topic = rig.topic(broker, 1)
    rig.send(broker, topic, *[str(number).encode() for number in range(300)])
    partition = Partition(topic.name, 0)
    assert list(broker.read(partition)) == list(broker.read(partition))
