"""Consuming: polls, commits, lag and seeks of one member of a group."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

import pytest

from faultline.errors import Unavailable
from faultline.ports.broker import Broker, Consumer, Partition
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


def test_a_poll_gives_no_more_than_asked_for(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, *[b"v"] * 10)
    consumer = broker.consumer(group, [topic])
    consumer.poll(DEADLINE_S, 1)
    assert len(consumer.poll(0.5, 3)) <= 3


def test_a_poll_without_messages_is_empty(broker: Broker, topic: Topic, group: str) -> None:
    assert list(broker.consumer(group, [topic]).poll(0.3, 10)) == []


def test_a_group_goes_on_where_it_committed(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"1", b"2", b"3")
    consumer = broker.consumer(group, [topic])
    messages = rig.receive(consumer, 3)
    consumer.commit({messages[1].partition: messages[1].offset + 1})
    consumer.close()
    assert rig.values(rig.receive(broker.consumer(group, [topic]), 1)) == [b"3"]


def test_what_was_not_committed_comes_again(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"1", b"2")
    consumer = broker.consumer(group, [topic])
    rig.receive(consumer, 2)
    consumer.close()
    assert rig.values(rig.receive(broker.consumer(group, [topic]), 2)) == [b"1", b"2"]


def test_partitions_never_committed_are_left_out(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"1")
    consumer = broker.consumer(group, [topic])
    (message,) = rig.receive(consumer, 1)
    consumer.commit({message.partition: 1})
    partitions = [Partition(topic.name, number) for number in range(3)]
    assert consumer.committed(partitions) == {message.partition: 1}


def test_lag_counts_what_is_still_to_come(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, *[b"v"] * 10)
    consumer = broker.consumer(group, [topic])
    received = len(consumer.poll(DEADLINE_S, 4))
    while not received:
        received = len(consumer.poll(DEADLINE_S, 4))
    assert sum(consumer.lag().values()) == 10 - received


def test_a_seek_on_assignment_decides_where_reading_begins(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"0", b"1", b"2")

    def seek(consumer: Consumer, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            consumer.seek(partition, 2)

    consumer = broker.consumer(group, [topic], rig.listener(seek))
    assert rig.values(rig.receive(consumer, 1)) == [b"2"]


def test_a_seek_backwards_brings_messages_again(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"0", b"1")
    consumer = broker.consumer(group, [topic])
    messages = rig.receive(consumer, 2)
    consumer.seek(messages[0].partition, 1)
    assert rig.values(rig.receive(consumer, 1)) == [b"1"]


def test_a_topic_that_does_not_exist_yet_is_consumed_once_it_does(
    rig: Rig, broker: Broker, group: str
) -> None:
    topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", 2, None)
    consumer = broker.consumer(group, [topic])
    with pytest.raises(Unavailable, match=topic.name):
        consumer.poll(0.1, 1)
    broker.create_topics([topic])
    rig.send(broker, topic, b"1")
    assert rig.values(rig.receive(consumer, 1)) == [b"1"]


def test_a_closed_consumer_refuses_to_poll(broker: Broker, topic: Topic, group: str) -> None:
    consumer = broker.consumer(group, [topic])
    consumer.close()
    with pytest.raises(Unavailable, match="closed"):
        consumer.poll(0.1, 1)
