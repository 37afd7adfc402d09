"""What the bridge does with messages, and what is in Kafka before they are acknowledged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from faultline import topics
from faultline.dead_letters import read_letter
from faultline.errors import Unavailable
from faultline.ports.broker import Delivery, Headers
from services.ingest.bridge.application import Bridge
from services.ingest.bridge.fleet import FORGET_MS
from services.ingest.bridge.intake import Arrival

if TYPE_CHECKING:
    from tests.unit.ingest.bridge.conftest import Plant


def at_once(step: Callable[[], None]) -> bool:
    step()
    return True


def deal(bridge: Bridge, *arrivals: Arrival, now_ms: int = 10_600) -> None:
    assert bridge.deal(arrivals, now_ms, at_once)


def header(plant: Plant, name: str) -> str:
    [letter] = plant.letters()
    return dict(letter.headers)[name].decode()


def reading(machine: str = "m", value: object = 1.5) -> bytes:
    return json.dumps({"machine_id": machine, "timestamp": 1_000, "sensors": {"t": value}}).encode()


def test_a_wide_payload_is_a_reading_on_the_topic(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("factory/m/json", reading()))
    assert [(each.identity, each.sensors) for each in plant.readings()] == [
        (("m", 1_000), {"t": 1.5})
    ]
    assert plant.count("readings", kind="sent") == 1


def test_values_become_a_row_once_it_is_due(plant: Plant) -> None:
    bridge = plant.bridge()
    deal(bridge, plant.arrival("plant/a/p1/t", b"1.5"), plant.arrival("plant/b/p1/p", b"7"))
    assert plant.readings() == []
    deal(bridge, now_ms=12_000)
    [row] = plant.readings()
    assert row.identity == ("p1", 11_000)
    assert (row.machine_type, row.sensors) == ("pump", {"t": 1.5, "p": 7.0})
    assert plant.count("messages", kind="value") == 2
    assert plant.count("readings", kind="row") == 1


def test_what_was_acknowledged_makes_its_row_after_a_crash(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("plant/a/p1/t", b"1.5"))
    after = plant.bridge()
    after.restore(plant.broker, 12_000)
    deal(after, plant.arrival("plant/a/p1/p", b"7", 11_600), now_ms=13_000)
    rows = [(each.timestamp_ms, each.sensors) for each in plant.readings()]
    assert rows == [(11_000, {"t": 1.5}), (12_000, {"t": 1.5, "p": 7.0})]


def test_a_row_that_was_made_is_not_made_again_after_a_crash(plant: Plant) -> None:
    before = plant.bridge()
    deal(before, plant.arrival("plant/a/p1/t", b"1.5"))
    deal(before, now_ms=12_000)
    after = plant.bridge()
    after.restore(plant.broker, 12_000)
    deal(after, now_ms=99_000)
    assert len(plant.readings()) == 1


def test_a_bad_payload_is_a_dead_letter_with_its_reason_and_topic(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("plant/a/p1/t", b"hot"))
    [letter] = plant.letters()
    assert letter.value == b"hot"
    assert header(plant, "reason") == "invalid_message"
    assert "'hot'" in header(plant, "detail")
    assert header(plant, "mqtt_topic") == "plant/a/p1/t"
    assert plant.count("refused", field="message") == 1


def test_a_dead_letter_is_one_that_the_command_reads(plant: Plant) -> None:
    payload = b"[" + reading() + b"," + reading("n", True) + b"]"
    deal(plant.bridge(), plant.arrival("factory/x/json", payload))
    letter = read_letter(plant.letters()[0])
    assert (letter.reason, letter.positions, letter.at_ms) == ("invalid_sensors", (1,), 10_500)
    assert letter.detail.startswith("sensors.t: true")
    assert letter.source is None
    assert letter.headers == (
        ("mqtt_topic", b"factory/x/json"),
        ("machine_id", b"x"),
        ("machine_type", b"default"),
    )


def test_a_dead_letter_tells_what_its_topic_tells_of_its_readings(plant: Plant) -> None:
    deal(
        plant.bridge(),
        plant.arrival("typed/valve/v1", b'{"timestamp": 1000, "sensors": {"t": true}}'),
    )
    [letter] = map(read_letter, plant.letters())
    assert letter.told == {"machine_id": "v1", "machine_type": "valve"}


def test_a_value_that_is_refused_tells_nothing_of_readings(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("plant/a/p1/t", b"hot"))
    [letter] = map(read_letter, plant.letters())
    assert letter.headers == (("mqtt_topic", b"plant/a/p1/t"),)


def test_a_forgotten_machine_is_not_taken_up_after_a_crash(plant: Plant) -> None:
    before = plant.bridge()
    deal(before, plant.arrival("plant/a/p1/t", b"1.5"))
    deal(before, now_ms=2 * FORGET_MS)
    deal(before, now_ms=4 * FORGET_MS)
    assert plant.broker.sent(topics.BRIDGE_STATE.name)[-1].value == b""
    after = plant.bridge()
    after.restore(plant.broker, 12_000)
    assert plant.machines() == 0


def test_a_snapshot_that_cannot_be_read_is_logged_and_does_not_end_the_bridge(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant.broker.producer().send(topics.BRIDGE_STATE.name, b"some machine", b"\xc1")
    bridge = plant.bridge()
    bridge.restore(plant.broker, 12_000)
    assert "some machine" in capsys.readouterr().out
    deal(bridge, plant.arrival("factory/m/json", reading()))
    assert len(plant.readings()) == 1


def test_the_good_readings_of_an_array_go_on_and_the_whole_is_a_dead_letter(plant: Plant) -> None:
    payload = b"[" + reading() + b"," + reading("n", True) + b"]"
    deal(plant.bridge(), plant.arrival("factory/x/json", payload))
    assert [each.machine_id for each in plant.readings()] == ["m"]
    assert plant.letters()[0].value == payload
    assert plant.count("refused", field="sensors") == 1


def test_of_a_payload_too_large_for_the_topic_the_beginning_is_kept(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("plant/a/p1/t", b"x" * 5_000_000))
    assert len(plant.letters()[0].value) == 1_500_000
    assert "5000000 bytes" in header(plant, "detail")


def test_a_retained_value_of_unknown_age_is_not_used(plant: Plant) -> None:
    stamped = b'{"value": 2, "timestamp": 10400}'
    deal(
        plant.bridge(),
        plant.arrival("plant/a/p1/old", b"1", retained=True),
        plant.arrival("plant/a/p1/t", stamped, retained=True),
        now_ms=12_000,
    )
    assert plant.readings()[0].sensors == {"t": 2.0}
    assert plant.count("skipped", why="retained") == 1


def test_a_topic_of_no_subscription_is_counted(plant: Plant) -> None:
    deal(plant.bridge(), plant.arrival("elsewhere", b"1"))
    assert plant.count("skipped", why="unsubscribed") == 1
    assert plant.letters() == []


class Faltering:
    """A producer that fails some calls, as a broker does that goes away and comes back."""

    def __init__(self, plant: Plant, failing: set[int]) -> None:
        self._producer = plant.broker.producer()
        self._failing = failing
        self.calls = 0
        self.order: list[str] = []

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        self.calls += 1
        if self.calls in self._failing:
            raise Unavailable("not now")
        self.order.append(topic)
        return self._producer.send(topic, key, value, headers, partition)

    def flush(self, timeout_s: float) -> None:
        self._producer.flush(timeout_s)

    def close(self) -> None:
        self._producer.close()


def test_rows_readings_and_letters_are_in_kafka_before_the_snapshots(plant: Plant) -> None:
    producer = Faltering(plant, set())
    deal(
        plant.bridge(producer),
        plant.arrival("plant/a/p1/t", b"1"),
        plant.arrival("plant/a/p1/t", b"hot"),
        plant.arrival("factory/m/json", reading()),
        now_ms=12_000,
    )
    names = [topics.READINGS.name] * 2 + [topics.READINGS_DLQ.name, topics.BRIDGE_STATE.name]
    assert producer.order == names


@pytest.mark.parametrize("failing", [{1}, {2}, {1, 2, 3}, {2, 4}])
def test_what_failed_is_sent_again_and_acknowledged_only_then(
    plant: Plant, failing: set[int]
) -> None:
    producer = Faltering(plant, failing)
    bridge = plant.bridge(producer)
    for number in range(3):
        plant.intake.put(plant.arrival("factory/m/json", reading(f"m{number}")))
    stop = plant.until(lambda: len(plant.inlet.acknowledged) == 3)
    plant.stream(bridge).run(stop)
    assert producer.calls == 3 + len(failing)
    assert {each.machine_id for each in plant.readings()} == {"m0", "m1", "m2"}
    assert [each.number for each in plant.inlet.acknowledged] == [1, 2, 3]
    assert plant.inlet.closed


def test_nothing_is_acknowledged_while_kafka_is_down(plant: Plant) -> None:
    bridge = plant.bridge()
    stream = plant.stream(bridge)
    stop = threading.Event()
    thread = threading.Thread(target=stream.run, args=(stop,))
    thread.start()
    opened = plant.until(lambda: plant.inlet.opened)
    while not opened.is_set():
        opened.wait(0.01)
    plant.broker.stop()
    plant.intake.put(plant.arrival("plant/a/p1/t", b"1"))
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert plant.inlet.acknowledged == []


def test_the_bridge_waits_for_its_state_before_it_takes_anything(plant: Plant) -> None:
    plant.broker.stop()
    stream = plant.stream(plant.bridge())
    assert stream.check() is not None
    asked: list[bool] = []

    def start_on_the_third_look() -> bool:
        asked.append(plant.inlet.opened)
        if len(asked) == 3:
            plant.broker.start()
        return plant.inlet.opened

    stream.run(plant.until(start_on_the_third_look))
    assert asked[:3] == [False] * 3
    assert stream.check() is None
