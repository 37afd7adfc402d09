"""Messages: how they are sent, in what order, within which bounds, and to which topics."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from faultline.errors import Conflict, Overloaded, Unavailable
from faultline.ports.broker import Broker, Partition
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


def test_a_message_arrives_with_its_key_value_and_headers(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    broker.producer().send(topic.name, b"pump", b"value", (("reason", b"because"),)).wait(10)
    (message,) = rig.receive(broker.consumer(group, [topic]), 1)
    assert (message.key, message.value, message.headers) == (
        b"pump",
        b"value",
        (("reason", b"because"),),
    )


def test_a_message_says_when_it_was_sent(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    before_ms = time.time_ns() // 1_000_000
    rig.send(broker, topic, b"value")
    (message,) = rig.receive(broker.consumer(group, [topic]), 1)
    assert before_ms <= message.timestamp_ms <= time.time_ns() // 1_000_000


def test_a_message_without_a_key_arrives(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    broker.producer().send(topic.name, None, b"value").wait(10)
    (message,) = rig.receive(broker.consumer(group, [topic]), 1)
    assert message.key is None


def test_messages_of_one_key_keep_their_order(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    values = [str(number).encode() for number in range(50)]
    rig.send(broker, topic, *values)
    assert rig.values(rig.receive(broker.consumer(group, [topic]), 50)) == values


def test_a_key_has_the_same_partition_in_topics_of_one_size(
    rig: Rig, broker: Broker, group: str
) -> None:
    one, other = rig.topic(broker, 6), rig.topic(broker, 6)
    producer = broker.producer()
    for number in range(20):
        for topic in (one, other):
            producer.send(topic.name, str(number).encode(), b"")
    producer.flush(DEADLINE_S)
    places: dict[bytes | None, set[int]] = {}
    for message in rig.receive(broker.consumer(group, [one, other]), 40):
        places.setdefault(message.key, set()).add(message.partition.number)
    assert {len(numbers) for numbers in places.values()} == {1}


def test_sending_to_a_topic_that_does_not_exist_is_refused(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="no-such-topic"):
        broker.producer().send("no-such-topic", b"k", b"v").wait(10)


def test_too_many_bytes_in_flight_are_refused(rig: Rig, broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    producer.send(topic.name, b"k", b"v").wait(10)

    def send_all_at_once() -> None:
        for _ in range(100):
            producer.send(topic.name, b"k", bytes(rig.capacity // 3))

    with pytest.raises(Overloaded):
        send_all_at_once()


def test_after_a_flush_there_is_room_again(rig: Rig, broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    for _ in range(5):
        producer.send(topic.name, b"k", bytes(rig.capacity // 2))
        producer.flush(DEADLINE_S)
    assert producer.send(topic.name, b"k", bytes(rig.capacity // 2)) is not None


def test_a_message_over_the_bound_goes_out_alone(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, bytes(rig.capacity * 2))
    (message,) = rig.receive(broker.consumer(group, [topic]), 1)
    assert len(message.value) == rig.capacity * 2


def test_a_flush_returns_when_all_is_acknowledged(broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    for number in range(20):
        producer.send(topic.name, str(number).encode(), b"v")
    producer.flush(DEADLINE_S)
    stored = [len(list(broker.read(Partition(topic.name, number)))) for number in range(3)]
    assert sum(stored) == 20


def test_a_closed_producer_has_sent_what_it_was_given(broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    for number in range(20):
        producer.send(topic.name, str(number).encode(), b"v")
    producer.close()
    stored = [len(list(broker.read(Partition(topic.name, number)))) for number in range(3)]
    assert sum(stored) == 20


def test_a_message_goes_to_the_partition_that_it_is_sent_to(broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    for number in range(3):
        producer.send(topic.name, b"k", b"v", partition=number).wait(10)
    counts = [len(list(broker.read(Partition(topic.name, number)))) for number in range(3)]
    assert counts == [1, 1, 1]


def test_a_topic_with_another_number_of_partitions_is_named(broker: Broker, topic: Topic) -> None:
    with pytest.raises(Conflict, match=f"{topic.name} has 3 partitions, not 5"):
        broker.create_topics([replace(topic, partitions=5)])


def test_topics_are_created_once(broker: Broker) -> None:
    topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", 2, None)
    assert (list(broker.create_topics([topic])), list(broker.create_topics([topic]))) == (
        [topic.name],
        [],
    )
