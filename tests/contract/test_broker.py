"""What every broker must do, held against the one in memory and against Kafka itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import pytest
from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.memory import MemoryBroker
from faultline.errors import Conflict, Overloaded, Unavailable
from faultline.ports.broker import Broker, Consumer, Message, Partition
from faultline.settings import KafkaSettings
from faultline.topics import Topic

DEADLINE_S = 60.0
CAPACITY = 200_000


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    made: Broker
    if request.param == "memory":
        made = MemoryBroker(max_in_flight_bytes=CAPACITY)
    else:
        platform = request.getfixturevalue("platform")
        made = KafkaBroker(
            KafkaSettings(
                kafka_bootstrap_servers=platform.kafka, kafka_max_in_flight_bytes=CAPACITY
            ),
            "contract",
        )
    yield made
    made.close()


@pytest.fixture
def throw_out(request: pytest.FixtureRequest, broker: Broker) -> Callable[[str], None]:
    """Takes all members away from a group."""
    if isinstance(broker, MemoryBroker):
        return broker.evict

    def remove(group: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=request.getfixturevalue("platform").kafka)
        try:
            members = admin.describe_groups([group])[group]["members"]
            admin.remove_group_members(
                group, [MemberToRemove(member["member_id"]) for member in members]
            )
        finally:
            admin.close()

    return remove


@pytest.fixture
def topic(broker: Broker) -> Topic:
    return _topic(broker)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def _topic(broker: Broker, partitions: int = 3) -> Topic:
    topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", partitions, 3_600_000)
    broker.create_topics([topic])
    return topic


def _send(broker: Broker, topic: Topic, *values: bytes, key: bytes = b"pump") -> None:
    producer = broker.producer()
    for value in values:
        producer.send(topic.name, key, value)
    producer.flush(DEADLINE_S)


def _send_keyed(broker: Broker, topic: Topic, count: int) -> None:
    """Send messages of as many keys, so that every partition gets some."""
    producer = broker.producer()
    for number in range(count):
        producer.send(topic.name, str(number).encode(), b"v")
    producer.flush(DEADLINE_S)


def _receive(consumer: Consumer, count: int) -> list[Message]:
    """Poll until so many messages have come."""
    messages: list[Message] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came"
        messages += consumer.poll(0.2, 100)
    return messages


def _values(messages: Sequence[Message]) -> list[bytes]:
    return [message.value for message in messages]


class Listener:
    """Notes what it is told, and does what a test asks it to."""

    def __init__(
        self, on_assigned: Callable[[Consumer, Collection[Partition]], None] | None = None
    ) -> None:
        self.told: list[str] = []
        self.owned: set[Partition] = set()
        self.to_commit: dict[Partition, int] = {}
        self._on_assigned = on_assigned

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("assigned")
        if self._on_assigned is not None:
            self._on_assigned(consumer, partitions)
        self.owned = set(partitions)

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("revoked")
        self.owned -= set(partitions)
        if self.to_commit:
            consumer.commit(self.to_commit)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("lost")
        self.owned -= set(partitions)


def test_a_message_arrives_with_its_key_value_and_headers(
    broker: Broker, topic: Topic, group: str
) -> None:
    broker.producer().send(topic.name, b"pump", b"value", (("reason", b"because"),)).wait(10)
    (message,) = _receive(broker.consumer(group, [topic]), 1)
    assert (message.key, message.value, message.headers) == (
        b"pump",
        b"value",
        (("reason", b"because"),),
    )


def test_a_message_says_when_it_was_sent(broker: Broker, topic: Topic, group: str) -> None:
    before_ms = time.time_ns() // 1_000_000
    _send(broker, topic, b"value")
    (message,) = _receive(broker.consumer(group, [topic]), 1)
    assert before_ms <= message.timestamp_ms <= time.time_ns() // 1_000_000


def test_a_message_without_a_key_arrives(broker: Broker, topic: Topic, group: str) -> None:
    broker.producer().send(topic.name, None, b"value").wait(10)
    (message,) = _receive(broker.consumer(group, [topic]), 1)
    assert message.key is None


def test_messages_of_one_key_keep_their_order(broker: Broker, topic: Topic, group: str) -> None:
    values = [str(number).encode() for number in range(50)]
    _send(broker, topic, *values)
    assert _values(_receive(broker.consumer(group, [topic]), 50)) == values


def test_a_key_has_the_same_partition_in_topics_of_one_size(broker: Broker, group: str) -> None:
    one, other = _topic(broker, 6), _topic(broker, 6)
    producer = broker.producer()
    for number in range(20):
        for topic in (one, other):
            producer.send(topic.name, str(number).encode(), b"")
    producer.flush(DEADLINE_S)
    places: dict[bytes | None, set[int]] = {}
    for message in _receive(broker.consumer(group, [one, other]), 40):
        places.setdefault(message.key, set()).add(message.partition.number)
    assert {len(numbers) for numbers in places.values()} == {1}


def test_sending_to_a_topic_that_does_not_exist_is_refused(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="no-such-topic"):
        broker.producer().send("no-such-topic", b"k", b"v").wait(10)


def test_too_many_bytes_in_flight_are_refused(broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    producer.send(topic.name, b"k", b"v").wait(10)

    def send_all_at_once() -> None:
        for _ in range(100):
            producer.send(topic.name, b"k", bytes(CAPACITY // 3))

    with pytest.raises(Overloaded):
        send_all_at_once()


def test_after_a_flush_there_is_room_again(broker: Broker, topic: Topic) -> None:
    producer = broker.producer()
    for _ in range(5):
        producer.send(topic.name, b"k", bytes(CAPACITY // 2))
        producer.flush(DEADLINE_S)
    assert producer.send(topic.name, b"k", bytes(CAPACITY // 2)) is not None


def test_a_message_over_the_bound_goes_out_alone(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, bytes(CAPACITY * 2))
    (message,) = _receive(broker.consumer(group, [topic]), 1)
    assert len(message.value) == CAPACITY * 2


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


def test_a_poll_gives_no_more_than_asked_for(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, *[b"v"] * 10)
    consumer = broker.consumer(group, [topic])
    consumer.poll(DEADLINE_S, 1)
    assert len(consumer.poll(0.5, 3)) <= 3


def test_a_poll_without_messages_is_empty(broker: Broker, topic: Topic, group: str) -> None:
    assert list(broker.consumer(group, [topic]).poll(0.3, 10)) == []


def test_a_group_goes_on_where_it_committed(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, b"1", b"2", b"3")
    consumer = broker.consumer(group, [topic])
    messages = _receive(consumer, 3)
    consumer.commit({messages[1].partition: messages[1].offset + 1})
    consumer.close()
    assert _values(_receive(broker.consumer(group, [topic]), 1)) == [b"3"]


def test_what_was_not_committed_comes_again(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, b"1", b"2")
    consumer = broker.consumer(group, [topic])
    _receive(consumer, 2)
    consumer.close()
    assert _values(_receive(broker.consumer(group, [topic]), 2)) == [b"1", b"2"]


def test_partitions_never_committed_are_left_out(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, b"1")
    consumer = broker.consumer(group, [topic])
    (message,) = _receive(consumer, 1)
    consumer.commit({message.partition: 1})
    partitions = [Partition(topic.name, number) for number in range(3)]
    assert consumer.committed(partitions) == {message.partition: 1}


def test_lag_counts_what_is_still_to_come(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, *[b"v"] * 10)
    consumer = broker.consumer(group, [topic])
    received = len(consumer.poll(DEADLINE_S, 4))
    while not received:
        received = len(consumer.poll(DEADLINE_S, 4))
    assert sum(consumer.lag().values()) == 10 - received


def test_a_seek_on_assignment_decides_where_reading_begins(
    broker: Broker, topic: Topic, group: str
) -> None:
    _send(broker, topic, b"0", b"1", b"2")

    def seek(consumer: Consumer, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            consumer.seek(partition, 2)

    consumer = broker.consumer(group, [topic], Listener(seek))
    assert _values(_receive(consumer, 1)) == [b"2"]


def test_a_seek_backwards_brings_messages_again(broker: Broker, topic: Topic, group: str) -> None:
    _send(broker, topic, b"0", b"1")
    consumer = broker.consumer(group, [topic])
    messages = _receive(consumer, 2)
    consumer.seek(messages[0].partition, 1)
    assert _values(_receive(consumer, 1)) == [b"1"]


def test_an_assignment_is_told_before_its_first_message(
    broker: Broker, topic: Topic, group: str
) -> None:
    _send(broker, topic, b"1")
    listener = Listener()
    (message,) = _receive(broker.consumer(group, [topic], listener), 1)
    assert message.partition in listener.owned


def test_an_assignment_whose_listener_failed_is_told_again_and_nothing_is_lost(
    broker: Broker, topic: Topic, group: str, throw_out: Callable[[str], None]
) -> None:
    _send(broker, topic, b"1", b"2")
    failures = [Unavailable("the database is down"), Unavailable("still")]

    def fail_twice(_: Consumer, __: Collection[Partition]) -> None:
        if failures:
            raise failures.pop()

    consumer = broker.consumer(group, [topic], Listener(fail_twice))
    messages: list[Message] = []
    refused = 0
    deadline = time.monotonic() + DEADLINE_S
    while len(messages) < 2 and time.monotonic() < deadline:
        try:
            messages += consumer.poll(0.2, 10)
        except Unavailable:
            refused += 1
    assert (refused, _values(messages)) == (2, [b"1", b"2"])


def _share_out(
    first: Consumer, one: Listener, second: Consumer, other: Listener, partitions: int
) -> list[Message]:
    """Poll two members in turn until both own something and together all."""
    messages: list[Message] = []
    deadline = time.monotonic() + DEADLINE_S
    while not (one.owned and other.owned and len(one.owned | other.owned) == partitions):
        assert time.monotonic() < deadline, f"{one.owned} and {other.owned} after {DEADLINE_S} s"
        messages += first.poll(0.1, 100)
        messages += second.poll(0.1, 100)
    return messages


def test_two_members_share_the_partitions(broker: Broker, topic: Topic, group: str) -> None:
    one, other = Listener(), Listener()
    first, second = broker.consumer(group, [topic], one), broker.consumer(group, [topic], other)
    _share_out(first, one, second, other, 3)
    assert one.owned.isdisjoint(other.owned)


def _poll_until(happened: Callable[[], bool], *consumers: Consumer) -> None:
    """Poll some members in turn, and no others, until something has happened."""
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {DEADLINE_S} s"
        for consumer in consumers:
            consumer.poll(0.1, 100)


def test_an_assignment_that_came_between_two_polls_is_told_at_the_next(
    broker: Broker, topic: Topic, group: str
) -> None:
    one, other, another = Listener(), Listener(), Listener()
    first = broker.consumer(group, [topic], one)
    _poll_until(lambda: "assigned" in one.told, first)
    second = broker.consumer(group, [topic], other)
    _share_out(first, one, second, other, 3)
    third = broker.consumer(group, [topic], another)
    one.told.clear()
    _poll_until(lambda: "revoked" in one.told, third, first)
    # The group waits for the second. What the first gets then comes while it is not polled, and
    # nobody else is polled when it is.
    other.told.clear()
    _poll_until(lambda: "assigned" in other.told, second)
    _poll_until(lambda: "assigned" in one.told, first)
    _poll_until(lambda: "assigned" in another.told, third)
    owned = [listener.owned for listener in (one, other, another)]
    assert sorted(len(each) for each in owned) == [1, 1, 1]


def test_what_a_member_commits_when_it_is_revoked_the_next_owner_does_not_get(
    broker: Broker, topic: Topic, group: str
) -> None:
    _send_keyed(broker, topic, 30)
    one, other = Listener(), Listener()
    first = broker.consumer(group, [topic], one)
    messages = _receive(first, 30)
    one.to_commit = {message.partition: message.offset + 1 for message in messages}
    second = broker.consumer(group, [topic], other)
    again = _share_out(first, one, second, other, 3)
    again += [*first.poll(0.5, 100), *second.poll(0.5, 100)]
    assert (one.told[:2], again) == (["assigned", "revoked"], [])


def test_what_was_not_committed_when_revoked_comes_again(
    broker: Broker, topic: Topic, group: str
) -> None:
    _send_keyed(broker, topic, 30)
    one, other = Listener(), Listener()
    first, second = broker.consumer(group, [topic], one), broker.consumer(group, [topic], other)
    _receive(first, 30)
    again = _share_out(first, one, second, other, 3)
    deadline = time.monotonic() + DEADLINE_S
    while len(again) < 30 and time.monotonic() < deadline:
        again += [*first.poll(0.1, 100), *second.poll(0.1, 100)]
    assert len(again) == 30


def test_a_listener_that_fails_when_partitions_go_is_heard(
    broker: Broker, topic: Topic, group: str
) -> None:
    class Failing(Listener):
        def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
            raise Unavailable("the state cannot be written")

    _send(broker, topic, b"1")
    consumer = broker.consumer(group, [topic], Failing())
    _receive(consumer, 1)
    with pytest.raises(Unavailable, match="state cannot be written"):
        consumer.close()


def test_a_topic_that_does_not_exist_yet_is_consumed_once_it_does(
    broker: Broker, group: str
) -> None:
    topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", 2, None)
    consumer = broker.consumer(group, [topic])
    with pytest.raises(Unavailable, match=topic.name):
        consumer.poll(0.1, 1)
    broker.create_topics([topic])
    _send(broker, topic, b"1")
    assert _values(_receive(consumer, 1)) == [b"1"]


def test_closing_a_member_tells_it_that_its_partitions_go(
    broker: Broker, topic: Topic, group: str
) -> None:
    _send(broker, topic, b"1")
    listener = Listener()
    consumer = broker.consumer(group, [topic], listener)
    _receive(consumer, 1)
    consumer.close()
    assert listener.told == ["assigned", "revoked"]


def test_a_member_that_was_thrown_out_is_told_that_its_partitions_are_lost(
    broker: Broker, topic: Topic, group: str, throw_out: Callable[[str], None]
) -> None:
    _send(broker, topic, b"1")
    listener = Listener()
    consumer = broker.consumer(group, [topic], listener)
    _receive(consumer, 1)
    throw_out(group)
    deadline = time.monotonic() + DEADLINE_S
    while listener.told.count("assigned") < 2:
        assert time.monotonic() < deadline, listener.told
        consumer.poll(0.2, 10)
    assert listener.told == ["assigned", "lost", "assigned"]


def test_a_closed_consumer_refuses_to_poll(broker: Broker, topic: Topic, group: str) -> None:
    consumer = broker.consumer(group, [topic])
    consumer.close()
    with pytest.raises(Unavailable, match="closed"):
        consumer.poll(0.1, 1)


def test_a_tail_gives_what_comes_after_it_was_made(broker: Broker, topic: Topic) -> None:
    _send(broker, topic, b"before")
    tail = broker.tail(topic)
    for key in (b"a", b"b", b"c", b"d"):
        _send(broker, topic, b"after", key=key)
    values: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(values) < 4 and time.monotonic() < deadline:
        values += _values(tail.poll(0.2))
    tail.close()
    assert values == [b"after"] * 4


def test_a_tail_without_news_is_empty(broker: Broker, topic: Topic) -> None:
    _send(broker, topic, b"before")
    assert list(broker.tail(topic).poll(0.3)) == []


def test_reading_a_partition_ends_where_it_ended_at_the_call(broker: Broker) -> None:
    topic = _topic(broker, 1)
    _send(broker, topic, b"1", b"2")
    messages = broker.read(Partition(topic.name, 0))
    _send(broker, topic, b"3")
    assert _values(list(messages)) == [b"1", b"2"]


def test_reading_an_empty_partition_gives_nothing(broker: Broker) -> None:
    topic = _topic(broker, 1)
    assert list(broker.read(Partition(topic.name, 0))) == []


def test_reading_the_same_partition_twice_gives_the_same(broker: Broker) -> None:
    topic = _topic(broker, 1)
    _send(broker, topic, *[str(number).encode() for number in range(300)])
    partition = Partition(topic.name, 0)
    assert list(broker.read(partition)) == list(broker.read(partition))


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
