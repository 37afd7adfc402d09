"""Both clients of Kafka side by side, and what a client does when nobody answers or polls."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient

from faultline.adapters.broker import KafkaCluster, open_broker
from faultline.adapters.confluent.connection import Connection
from faultline.adapters.confluent.consumer import Consumer as ConfluentConsumer
from faultline.errors import Unavailable
from faultline.local.home import Endpoints
from faultline.ports.broker import Consumer, Partition
from faultline.ports.broker import Producer as OurProducer
from faultline.settings import KafkaSettings
from faultline.topics import Topic

pytestmark = pytest.mark.real

CLIENTS = ("kafka-python", "confluent")
_DEADLINE_S = 60.0

Opened = Callable[[str], KafkaCluster]


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.owned: set[Partition] = set()

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("assigned")
        self.owned = set(partitions)

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("revoked")
        self.owned -= set(partitions)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        self.told.append("lost")
        self.owned -= set(partitions)


@pytest.fixture
def opened(platform: Endpoints) -> Iterator[Opened]:
    """Opens a broker through the client of that name."""
    with ExitStack() as closing:

        def start(client: str) -> KafkaCluster:
            settings = KafkaSettings.model_validate(
                {"kafka_bootstrap_servers": platform.kafka, "kafka_client": client}
            )
            broker = open_broker(settings)
            closing.callback(broker.close)
            return broker

        yield start


@pytest.fixture
def topic(opened: Opened) -> Topic:
    topic = Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", 6, 3_600_000)
    opened("kafka-python").create_topics([topic])
    return topic


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


@contextmanager
def _frozen(platform: Endpoints) -> Iterator[None]:
    """Kafka's process stands still: it takes connections and answers nothing."""
    port = int(platform.kafka.rsplit(":", 1)[1])
    [pid] = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    }
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _until(done: Callable[[], bool], *consumers: Consumer) -> None:
    """Poll these until something has happened."""
    deadline_s = time.monotonic() + _DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, "in vain waited"
        for consumer in consumers:
            with suppress(Unavailable):
                consumer.poll(0.1, 100)


@pytest.mark.parametrize("client", CLIENTS)
def test_null_is_empty_as_a_value_and_in_a_header(
    platform: Endpoints, opened: Opened, topic: Topic, client: str
) -> None:
    # None of ours sends such, but anyone else may.
    producer = Producer({"bootstrap.servers": platform.kafka})
    producer.produce(topic.name, None, b"pump", 0, headers=[("h", None), ("reason", b"because")])
    assert producer.flush(_DEADLINE_S) == 0
    [message] = opened(client).read(Partition(topic.name, 0))
    assert message.value == b""
    assert message.headers == (("h", b""), ("reason", b"because"))


def test_a_key_has_one_partition_whichever_client_sends(opened: Opened, topic: Topic) -> None:
    keys = [f"pump-{number}".encode() for number in range(50)]
    for client in CLIENTS:
        producer = opened(client).producer()
        for key in keys:
            producer.send(topic.name, key, client.encode())
        producer.flush(_DEADLINE_S)
    reader = opened("kafka-python")
    places: dict[bytes, dict[bytes | None, int]] = {client.encode(): {} for client in CLIENTS}
    for number in range(6):
        for message in reader.read(Partition(topic.name, number)):
            places[message.value][message.key] = number
    assert len(set(places[b"confluent"].values())) > 1
    assert places[b"confluent"] == places[b"kafka-python"]


def test_both_clients_share_the_partitions_of_a_group(
    opened: Opened, topic: Topic, group: str
) -> None:
    one, other = Listener(), Listener()
    first = opened("kafka-python").consumer(group, [topic], one)
    second = opened("confluent").consumer(group, [topic], other)
    _until(lambda: len(one.owned) == len(other.owned) == 3, first, second)
    assert one.owned.isdisjoint(other.owned)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_does_not_answer_keeps_nobody_for_ever(
    platform: Endpoints, opened: Opened, topic: Topic, group: str, client: str
) -> None:
    broker, listener = opened(client), Listener()
    consumer, producer = broker.consumer(group, [topic], listener), broker.producer()
    producer.send(topic.name, b"k", b"v").wait(_DEADLINE_S)
    _until(lambda: bool(listener.owned), consumer)
    with _frozen(platform):
        with pytest.raises(Unavailable):
            consumer.commit(dict.fromkeys(listener.owned, 0))
        with pytest.raises(Unavailable):
            producer.send(topic.name, b"k", b"v").wait(1)
        with suppress(Unavailable):
            consumer.close()
        assert listener.told[-1] in {"revoked", "lost"}
    again = Listener()
    member = opened(client).consumer(group, [topic], again)
    _until(lambda: len(again.owned) == 6, member)


@pytest.mark.parametrize("client", CLIENTS)
def test_after_a_message_was_given_up_the_producer_sends_the_next(
    platform: Endpoints, opened: Opened, topic: Topic, client: str
) -> None:
    producer = opened(client).producer()
    producer.send(topic.name, b"k", b"before").wait(_DEADLINE_S)
    with _frozen(platform), pytest.raises(Unavailable):
        producer.send(topic.name, b"k", b"meanwhile").wait(2 * _DEADLINE_S)
    _until(lambda: _takes(producer, topic))


def _takes(producer: OurProducer, topic: Topic) -> bool:
    try:
        producer.send(topic.name, b"k", b"after").wait(5)
    except Unavailable:
        return False
    return True


def test_a_batch_that_takes_longer_than_the_group_waits_is_told_as_a_loss(
    platform: Endpoints, topic: Topic, group: str
) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=platform.kafka, kafka_session_timeout_s=6)
    listener = Listener()
    consumer = ConfluentConsumer(
        Connection(settings, "slow"), group, [topic], listener, max_poll_interval_s=6
    )
    admin = KafkaAdminClient(bootstrap_servers=platform.kafka)
    try:
        _until(lambda: bool(listener.owned), consumer)
        _until(lambda: not admin.describe_groups([group])[group]["members"])
        with pytest.raises(Unavailable):
            consumer.commit(dict.fromkeys(listener.owned, 0))
        _until(lambda: listener.told.count("assigned") == 2, consumer)
    finally:
        admin.close()
        consumer.close()
    assert listener.told == ["assigned", "lost", "assigned", "revoked"]
