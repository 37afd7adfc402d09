"""What only a real broker can show: outages, transactions, settings that reach it, clean ends."""

from __future__ import annotations

import gc
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from faultline import topics
from faultline.adapters.broker import KafkaCluster, open_broker
from faultline.errors import FaultlineError, Unavailable
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.settings import KafkaSettings
from faultline.topics import Topic

pytestmark = pytest.mark.real


def _topic(partitions: int = 1) -> Topic:
    return Topic(f"contract-{uuid.uuid4().hex[:8]}", "key", "Test.", partitions, 3_600_000)


@pytest.fixture(params=["kafka-python", "confluent"])
def settings(request: pytest.FixtureRequest, platform: Endpoints) -> KafkaSettings:
    """How to reach the broker, once through each client."""
    return KafkaSettings(kafka_bootstrap_servers=platform.kafka, kafka_client=request.param)


@pytest.fixture
def broker(settings: KafkaSettings) -> Iterator[KafkaCluster]:
    broker = open_broker(settings)
    yield broker
    broker.close()


@pytest.fixture
def topic(broker: KafkaCluster) -> Topic:
    topic = _topic()
    broker.create_topics([topic])
    return topic


class Entrance:
    """A port that is closed until it is opened, and then leads to the broker."""

    def __init__(self, kafka: str) -> None:
        host, port = kafka.split(":")
        self._kafka = (host, int(port))
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets = [self._listener]

    def open(self) -> None:
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            outside = socket.create_connection(self._kafka)
            self._sockets += [inside, outside]
            for source, target in ((inside, outside), (outside, inside)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _client_threads() -> set[object]:
    """Threads of both clients; librdkafka's are the system's, and unknown to Python."""
    of_python = {thread for thread in threading.enumerate() if "kafka" in thread.name}
    tasks = Path("/proc/self/task").glob("*")
    return of_python | {task for task in tasks if _comm(task).startswith("rdk")}


def _comm(task: Path) -> str:
    try:
        return (task / "comm").read_text()
    except OSError:
        # It has ended since.
        return ""


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def entrance(platform: Endpoints) -> Iterator[Entrance]:
    entrance = Entrance(platform.kafka)
    yield entrance
    entrance.close()


@pytest.fixture
def distant(settings: KafkaSettings, entrance: Entrance) -> Iterator[KafkaCluster]:
    """A broker that is reached through the entrance, so not at first."""
    broker = open_broker(settings.model_copy(update={"kafka_bootstrap_servers": entrance.address}))
    yield broker
    broker.close()


def test_a_producer_works_once_the_broker_is_up(
    distant: KafkaCluster, entrance: Entrance, topic: Topic
) -> None:
    producer = distant.producer()
    with pytest.raises(Unavailable, match=entrance.address):
        producer.send(topic.name, b"k", b"v")
    entrance.open()
    deadline = time.monotonic() + 10
    while True:
        try:
            producer.send(topic.name, b"k", b"v").wait(10)
            break
        except Unavailable:
            assert time.monotonic() < deadline
    assert len(list(distant.read(Partition(topic.name, 0)))) == 1


def test_a_consumer_works_once_the_broker_is_up(
    broker: KafkaCluster, distant: KafkaCluster, entrance: Entrance, topic: Topic
) -> None:
    broker.producer().send(topic.name, b"k", b"v").wait(10)
    consumer = distant.consumer(f"group-{uuid.uuid4().hex[:8]}", [topic])
    with pytest.raises(Unavailable, match=entrance.address):
        consumer.poll(0.1, 1)
    entrance.open()
    deadline = time.monotonic() + 10
    messages = consumer.poll(1.0, 1)
    while not messages and time.monotonic() < deadline:
        messages = consumer.poll(1.0, 1)
    assert [message.value for message in messages] == [b"v"]


def test_a_tail_made_while_the_broker_was_down_works_once_it_is_up(
    broker: KafkaCluster, distant: KafkaCluster, entrance: Entrance, topic: Topic
) -> None:
    tail = distant.tail(topic)
    entrance.open()
    tail.poll(0.1)
    broker.producer().send(topic.name, b"k", b"v").wait(10)
    deadline = time.monotonic() + 10
    messages = tail.poll(1.0)
    while not messages and time.monotonic() < deadline:
        messages = tail.poll(1.0)
    assert [message.value for message in messages] == [b"v"]


def test_a_ping_says_what_is_wrong_and_then_that_nothing_is(
    distant: KafkaCluster, entrance: Entrance
) -> None:
    wrong = distant.ping(now=lambda: 0.0)
    assert wrong is not None
    assert entrance.address in wrong
    entrance.open()
    assert distant.ping(now=lambda: 10.0) is None


def test_an_answer_to_a_ping_holds_for_a_while(distant: KafkaCluster, entrance: Entrance) -> None:
    wrong = distant.ping(now=lambda: 0.0)
    entrance.open()
    assert distant.ping(now=lambda: 1.0) == wrong


def test_a_broker_that_is_down_leaves_no_thread_behind(distant: KafkaCluster) -> None:
    before = _client_threads()
    with pytest.raises(Unavailable):
        distant.create_topics([_topic()])
    assert _client_threads() - before == set()


def test_a_broker_lets_go_of_what_was_closed(distant: KafkaCluster) -> None:
    gone = weakref.WeakSet[object]()
    for _ in range(10):
        producer = distant.producer()
        gone.add(producer)
        producer.close()
    del producer
    gc.collect()
    assert len(gone) <= 1


def test_a_closed_broker_leaves_no_thread_behind(settings: KafkaSettings) -> None:
    before = _client_threads()
    broker = open_broker(settings)
    topic = _topic()
    broker.create_topics([topic])
    broker.producer().send(topic.name, b"k", b"v").wait(10)
    broker.consumer(f"group-{uuid.uuid4().hex[:8]}", [topic]).poll(0.5, 1)
    broker.tail(topic).poll(0.1)
    next(broker.read(Partition(topic.name, 0)))
    broker.ping()
    broker.close()
    assert _client_threads() - before == set()


def test_reading_ends_behind_the_marks_of_transactions(
    platform: Endpoints, broker: KafkaCluster, topic: Topic
) -> None:
    producer = KafkaProducer(
        bootstrap_servers=platform.kafka, transactional_id=f"tx-{topic.name}", metrics_enabled=False
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic.name, b"committed")
    producer.commit_transaction()
    producer.begin_transaction()
    producer.send(topic.name, b"aborted")
    producer.flush()
    producer.abort_transaction()
    producer.close()
    values = [message.value for message in broker.read(Partition(topic.name, 0))]
    assert values == [b"committed"]


def test_a_topic_is_created_with_its_configuration(platform: Endpoints, topic: Topic) -> None:
    admin = KafkaAdminClient(bootstrap_servers=platform.kafka)
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name)
        configs = str(admin.describe_configs([resource]))
    finally:
        admin.close()
    assert "3600000" in configs


def test_a_message_that_no_topic_takes_is_refused_for_good(
    broker: KafkaCluster, topic: Topic
) -> None:
    with pytest.raises(FaultlineError, match="too large") as refusal:
        broker.producer().send(topic.name, b"k", bytes(17 * 1024 * 1024))
    assert not refusal.value.retriable


def test_a_flush_tells_that_a_message_was_lost(broker: KafkaCluster, topic: Topic) -> None:
    producer = broker.producer()
    # Over the topic's limit of 1 MiB, which only the broker knows.
    producer.send(topic.name, b"k", bytes(2 * 1024 * 1024))
    with pytest.raises(FaultlineError, match=r"raise max\.message\.bytes") as loss:
        producer.flush(10)
    assert not loss.value.retriable


def test_after_a_refused_message_the_next_one_goes_through(
    broker: KafkaCluster, topic: Topic
) -> None:
    producer = broker.producer()
    with pytest.raises(FaultlineError, match="too large for topic"):
        producer.send(topic.name, b"k", bytes(2 * 1024 * 1024)).wait(10)
    producer.send(topic.name, b"k", b"next").wait(10)
    assert [message.value for message in broker.read(Partition(topic.name, 0))] == [b"next"]


def test_a_refused_message_is_refused_for_good_and_those_beside_it_only_for_now(
    broker: KafkaCluster, topic: Topic
) -> None:
    producer = broker.producer()
    large = producer.send(topic.name, b"k", bytes(2 * 1024 * 1024))
    beside = [producer.send(topic.name, b"k", b"v") for _ in range(50)]
    with pytest.raises(FaultlineError) as loss:
        large.wait(10)
    fates = set()
    for delivery in beside:
        try:
            delivery.wait(10)
        except FaultlineError as error:
            fates.add(error.retriable)
    assert (loss.value.retriable, fates - {True}) == (False, set())


def test_a_letter_may_be_larger_than_the_message_that_it_tells_of(broker: KafkaCluster) -> None:
    broker.create_topics([topics.READINGS_DLQ])
    headers = (("detail", bytes(100_000)),)
    producer = broker.producer()
    producer.send(topics.READINGS_DLQ.name, b"k", bytes(1_000_000), headers).wait(10)
