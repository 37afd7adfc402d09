from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline import labels, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.errors import Unavailable
from faultline.labels import FaultLabel
from faultline.ports.broker import Message
from faultline.readings import Reading, decode
from faultline.sources.topic import LabelSink, TopicSink


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topics([topics.READINGS, topics.LABELS])
    return broker


def series(machine: str, rows: int, sensors: int = 1) -> list[Reading]:
    values: dict[str, float | None] = {f"{'s' * 100}-{i}": 0.123456789 for i in range(sensors)}
    return [
        Reading(machine_id=machine, timestamp_ms=1_000 * row, sensors=values) for row in range(rows)
    ]


def received(messages: list[Message], machine: str) -> list[Reading]:
    return [
        reading
        for message in messages
        if message.key == machine.encode()
        for reading in decode(message.value).readings
    ]


def test_a_message_is_of_one_machine_and_keyed_by_it(broker: MemoryBroker) -> None:
    one, two = series("pump-01", 3), series("pump-02", 3)
    TopicSink(broker.producer()).send([r for pair in zip(one, two, strict=True) for r in pair])
    sent = broker.sent(topics.READINGS.name)
    assert len(sent) == 2
    assert received(sent, "pump-01") == one
    assert received(sent, "pump-02") == two


def test_a_machines_readings_keep_their_order_over_many_messages(broker: MemoryBroker) -> None:
    readings = series("pump-01", 1_234)
    TopicSink(broker.producer()).send(readings)
    sent = broker.sent(topics.READINGS.name)
    assert len(sent) == 13
    assert received(sent, "pump-01") == readings


def test_a_message_stays_below_what_the_broker_takes(broker: MemoryBroker) -> None:
    readings = series("pump-01", 40, sensors=500)
    TopicSink(broker.producer()).send(readings)
    sent = broker.sent(topics.READINGS.name)
    assert max(len(message.value) for message in sent) < 1_000_000
    assert received(sent, "pump-01") == readings


def test_when_too_much_is_in_flight_it_waits_and_loses_nothing() -> None:
    broker = MemoryBroker(max_in_flight_bytes=20_000)
    broker.create_topics([topics.READINGS])
    readings = series("pump-01", 1_000)
    TopicSink(broker.producer()).send(readings)
    assert received(broker.sent(topics.READINGS.name), "pump-01") == readings


def test_a_label_is_keyed_by_its_machine(broker: MemoryBroker) -> None:
    label = FaultLabel(machine_id="pump-01", kind="leak", start_ms=5, sensors=("flow",))
    LabelSink(broker.producer()).send(label)
    [message] = broker.sent(topics.LABELS.name)
    assert message.key == b"pump-01"
    assert labels.decode(message.value) == label


@pytest.mark.parametrize(
    "send",
    [
        lambda producer: TopicSink(producer).send(series("pump-01", 1)),
        lambda producer: LabelSink(producer).send(
            FaultLabel(machine_id="pump-01", kind="leak", start_ms=5)
        ),
    ],
    ids=["readings", "labels"],
)
def test_a_broker_that_is_down_is_said_to_be(
    broker: MemoryBroker, send: Callable[[object], None]
) -> None:
    producer = broker.producer()
    broker.stop()
    with pytest.raises(Unavailable):
        send(producer)
