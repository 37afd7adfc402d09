"""The broker in memory and Kafka through both clients, and what the tests do with them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from faultline.adapters.broker import open_broker
from faultline.adapters.memory import MemoryBroker
from faultline.ports.broker import Broker, Consumer, Message, Partition
from faultline.settings import KafkaSettings
from faultline.topics import Topic

DEADLINE_S = 60.0
CAPACITY = 200_000

Do = Callable[[Consumer, Collection[Partition]], None]


def _nothing(_: Consumer, __: Collection[Partition]) -> None:
    """What a listener does that is only there to note."""


class Listener:
    """Notes what it is told, and does what a test asks it to."""

    def __init__(self, on_assigned: Do = _nothing, on_revoked: Do = _nothing) -> None:
        self.told: list[str] = []
        self.owned: set[Partition] = set()
        self.to_commit: dict[Partition, int] = {}
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("assigned")
        self._on_assigned(consumer, partitions)
        self.owned = set(partitions)

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("revoked")
        self._on_revoked(consumer, partitions)
        self.owned -= set(partitions)
        if self.to_commit:
            consumer.commit(self.to_commit)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("lost")
        self.owned -= set(partitions)


class Rig:
    """Steps of the tests: a test cannot import them from here."""

    capacity = CAPACITY
    listener = Listener

    @staticmethod
    def topic(broker: Broker, partitions: int = 3) -> Topic:
        topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", partitions, 3_600_000)
        broker.create_topics([topic])
        return topic

    @staticmethod
    def send(broker: Broker, topic: Topic, *values: bytes, key: bytes = b"pump") -> None:
        producer = broker.producer()
        for value in values:
            producer.send(topic.name, key, value)
        producer.flush(DEADLINE_S)

    @staticmethod
    def send_keyed(broker: Broker, topic: Topic, count: int) -> None:
        """Send messages of as many keys, so that every partition gets some."""
        producer = broker.producer()
        for number in range(count):
            producer.send(topic.name, str(number).encode(), b"v")
        producer.flush(DEADLINE_S)

    @staticmethod
    def receive(consumer: Consumer, count: int) -> list[Message]:
        """Poll until so many messages have come."""
        messages: list[Message] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(messages) < count:
            assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came"
            messages += consumer.poll(0.2, 100)
        return messages

    @staticmethod
    def values(messages: Sequence[Message]) -> list[bytes]:
        return [message.value for message in messages]

    @staticmethod
    def share_out(
        first: Consumer, one: Listener, second: Consumer, other: Listener, partitions: int
    ) -> list[Message]:
        """Poll two members in turn until both own something and together all."""
        messages: list[Message] = []
        deadline = time.monotonic() + DEADLINE_S
        while not (one.owned and other.owned and len(one.owned | other.owned) == partitions):
            assert time.monotonic() < deadline, (
                f"{one.owned} and {other.owned} after {DEADLINE_S} s"
            )
            messages += first.poll(0.1, 100)
            messages += second.poll(0.1, 100)
        return messages

    @staticmethod
    def poll_until(happened: Callable[[], bool], *consumers: Consumer) -> None:
        """Poll some members in turn, and no others, until something has happened."""
        deadline = time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline, f"did not happen within {DEADLINE_S} s"
            for consumer in consumers:
                consumer.poll(0.1, 100)


@pytest.fixture(scope="session")
def rig() -> Rig:
    return Rig()


def _brokers() -> list[Any]:
    clients = ("kafka-python", "confluent")
    return [pytest.param("memory"), *(pytest.param(c, marks=pytest.mark.real) for c in clients)]


@pytest.fixture(params=_brokers())
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    made: Broker
    if request.param == "memory":
        made = MemoryBroker(max_in_flight_bytes=CAPACITY)
    else:
        platform = request.getfixturevalue("platform")
        settings = KafkaSettings(
            kafka_bootstrap_servers=platform.kafka,
            kafka_max_in_flight_bytes=CAPACITY,
            kafka_client=request.param,
        )
        made = open_broker(settings, "contract")
    yield made
    made.close()


@pytest.fixture
def throw_out(request: pytest.FixtureRequest, broker: Broker) -> Callable[[str], None]:
    """Takes all members away from a group."""
    if isinstance(broker, MemoryBroker):
        return broker.evict

    from kafka import KafkaAdminClient  # noqa: PLC0415
    from kafka.admin import MemberToRemove  # noqa: PLC0415

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
    return Rig.topic(broker)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"
