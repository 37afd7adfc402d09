"""The bridge's process between a real Mosquitto and the real Kafka.

Each test has machines of its own, and a client id of its own.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from faultline.local.stack import Stack

if TYPE_CHECKING:
    from tests.integration.conftest import Running, Services, Until
    from tests.integration.mqtt.conftest import Mosquitto, Publisher, Topic

pytestmark = pytest.mark.real

PROTOCOLS = ("3.1.1", "5")
SUBSCRIPTIONS = [
    {"topic": "plant/+/{machine}/{sensor}", "machine_type": "pump"},
    {"topic": "factory/{machine}/json"},
]
START_MS = 1_795_000_000_000

Bridge = Callable[..., AbstractContextManager["Running"]]


@pytest.fixture
def machine() -> str:
    return f"m-{uuid4().hex[:8]}"


@pytest.fixture
def bridge(services: Services, mosquitto: Mosquitto, topic: Topic, machine: str) -> Bridge:
    """Starts a bridge, under the same name each time."""

    @contextmanager
    def running(**settings: str) -> Iterator[Running]:
        with services.running(
            "bridge",
            {
                "FAULTLINE_MQTT_URL": f"mqtt://127.0.0.1:{mosquitto.port}",
                "FAULTLINE_MQTT_CLIENT_ID": machine,
                "FAULTLINE_MQTT_SUBSCRIPTIONS": json.dumps(SUBSCRIPTIONS),
                "FAULTLINE_BRIDGE_RETRY_S": "0.1",
                **{f"FAULTLINE_MQTT_{name}": value for name, value in settings.items()},
            },
        ) as process:
            yield process

    return running


def metric(bridge: Running, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(bridge.http.get("/metrics").text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"faultline_bridge_{name}" and labels.items() <= sample.labels.items()
    )


def wide(machine: str, numbers: Sequence[int]) -> list[tuple[str, str]]:
    """One reading each, a millisecond apart."""
    return [
        (
            f"factory/{machine}/json",
            json.dumps({"timestamp": START_MS + number, "sensors": {"t": number}}),
        )
        for number in numbers
    ]


def value(machine: str, sensor: str, number: float, at_ms: int) -> tuple[str, str]:
    stamped = {"value": number, "timestamp": START_MS + at_ms}
    return f"plant/hall/{machine}/{sensor}", json.dumps(stamped)


def expected(machine: str, numbers: Sequence[int]) -> set[tuple[str, int]]:
    return {(machine, START_MS + number) for number in numbers}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_wide_payloads_and_single_values_come_as_readings_and_bad_ones_as_letters(
    protocol: str,
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
) -> None:
    bad = f"plant/hall/{machine}/t"
    with bridge(PROTOCOL=protocol) as running:
        publisher.publish(
            *wide(f"{machine}-w", [0]),
            value(machine, "t", 1.5, 100),
            value(machine, "p", 7.0, 900),
            (bad, b"hot"),
            # Not of a subscription.
            (f"plant/{machine}/t", "1"),
            value(machine, "t", 2.5, 1_900),
            value(machine, "t", 3.5, 3_900),
        )
        until(lambda: len(topic.readings(machine)) == 3, "three rows")
        until(lambda: metric(running, "in_flight") == 0, "nothing in flight")
        assert metric(running, "messages_total", kind="value") == 4
    rows = topic.readings(machine)
    assert [(row.timestamp_ms - START_MS, row.sensors) for row in rows] == [
        (1_000, {"t": 1.5, "p": 7.0}),
        (2_000, {"t": 2.5, "p": 7.0}),
        (4_000, {"t": 3.5, "p": 7.0}),
    ]
    assert {row.machine_type for row in rows} == {"pump"}
    assert topic.identities(f"{machine}-w") == expected(f"{machine}-w", [0])
    [letter] = [each for each in topic.letters() if each.headers == (("mqtt_topic", bad.encode()),)]
    assert (letter.value, letter.reason) == (b"hot", "invalid_message")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_comes_while_the_bridge_is_away_is_delivered_when_it_is_back(
    protocol: str,
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
) -> None:
    with bridge(PROTOCOL=protocol) as running:
        assert running.end(signal.SIGTERM) == 0
    publisher.publish(*wide(machine, range(50)))
    assert topic.identities(machine) == set()
    with bridge(PROTOCOL=protocol):
        until(lambda: topic.identities(machine) == expected(machine, range(50)), "what came")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_burst_larger_than_what_may_be_in_flight_comes_through(
    protocol: str,
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
) -> None:
    numbers = range(1_500)
    with bridge(PROTOCOL=protocol, IN_FLIGHT="10"):
        publisher.publish(*wide(machine, numbers))
        until(lambda: topic.identities(machine) == expected(machine, numbers), "all of the burst")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_acknowledged_before_kafka_has_it(
    protocol: str,
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
    platform_stack: Stack,
) -> None:
    numbers = range(30)
    with bridge(PROTOCOL=protocol, IN_FLIGHT="20") as running:
        with platform_stack.without("kafka"):
            publisher.publish(*wide(machine, numbers), value(machine, "t", 1.0, 100))
            until(lambda: metric(running, "in_flight") == 20, "as many as may be in flight")
            until(lambda: not running.ready(), "a bridge that says that Kafka is away")
            # Had it acknowledged one, that one would be lost.
            running.end(signal.SIGKILL)
        with bridge(PROTOCOL=protocol):
            until(
                lambda: topic.identities(machine) >= expected(machine, [*numbers, 1_000]),
                "all that was published",
            )


def test_the_bridge_goes_on_by_itself_when_kafka_is_back(
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
    platform_stack: Stack,
) -> None:
    numbers = range(100)
    with bridge(IN_FLIGHT="20") as running:
        with platform_stack.without("kafka"):
            publisher.publish(*wide(machine, numbers))
            until(lambda: metric(running, "in_flight") == 20, "as many as may be in flight")
        until(lambda: topic.identities(machine) == expected(machine, numbers), "all of it")
        until(running.ready, "a bridge that is ready")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_bridge_that_is_killed_again_and_again_loses_nothing(
    protocol: str,
    bridge: Bridge,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
) -> None:
    rows = range(1_000, 301_000, 1_000)
    readings = range(2_000_000, 2_000_600)
    # Each row of a value of its own.
    values = [value(machine, "t", float(at_ms), at_ms) for at_ms in rows]
    for part in range(3):
        with bridge(PROTOCOL=protocol, IN_FLIGHT="50") as running:
            publisher.publish(
                *values[part * 100 : part * 100 + 100],
                *wide(machine, readings[part * 200 : part * 200 + 200]),
            )
            running.end(signal.SIGKILL)
    with bridge(PROTOCOL=protocol, IN_FLIGHT="50"):
        wanted = expected(machine, [*rows, *readings])
        until(lambda: topic.identities(machine) == wanted, "every row and every reading")
    for reading in topic.readings(machine):
        if reading.timestamp_ms - START_MS in rows:
            assert reading.sensors == {"t": float(reading.timestamp_ms - START_MS)}


def test_the_bridge_comes_back_to_an_mqtt_broker_that_was_away(
    bridge: Bridge,
    mosquitto: Mosquitto,
    publisher: Publisher,
    topic: Topic,
    machine: str,
    until: Until,
) -> None:
    with bridge() as running:
        mosquitto.stop()
        until(lambda: not running.ready(), "a bridge that says that the broker is away")
        assert "disconnected" in running.http.get("/health/ready").text
        mosquitto.start()
        until(running.ready, "a bridge that is ready again")
        publisher.publish(*wide(machine, [0]))
        until(lambda: topic.identities(machine) == expected(machine, [0]), "the reading")
