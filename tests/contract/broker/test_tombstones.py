"""An empty value with a key is a tombstone, which a compacted topic takes as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer as Raw

from faultline.adapters.memory import MemoryBroker
from faultline.ports.broker import Broker
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


def test_a_tombstone_comes_back_as_an_empty_value(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    producer = broker.producer()
    for key in (b"pump", None):
        producer.send(topic.name, key, b"")
    producer.flush(DEADLINE_S)
    messages = rig.receive(broker.consumer(group, [topic]), 2)
    assert {(message.key, message.value) for message in messages} == {(b"pump", b""), (None, b"")}


def test_kafka_has_null_for_it_and_an_empty_value_where_there_is_no_key(
    request: pytest.FixtureRequest, broker: Broker, topic: Topic, group: str
) -> None:
    if isinstance(broker, MemoryBroker):
        pytest.skip("of Kafka itself")
    producer = broker.producer()
    for key in (b"pump", None):
        producer.send(topic.name, key, b"")
    producer.flush(DEADLINE_S)
    servers = request.getfixturevalue("platform").kafka
    raw = Raw({"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        raw.subscribe([topic.name])
        found = raw.consume(2, DEADLINE_S)
        assert {(each.key(), each.value()) for each in found} == {(b"pump", None), (None, b"")}
    finally:
        raw.close()
