"""The stream loop: every reading has a verdict, by one version, and machines go on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from faultline import alarms, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.judge import Model
from faultline.ports.broker import (
    Partition,
)
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status
from services.predictor.stream import GROUP

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import MakeDetector
    from tests.unit.predictor.stream.conftest import Bench

MACHINES = ("pump-1", "pump-2", "pümp/3")


class _Evicting(threading.Event):
    """Throws the group out after a few turns of the loop, and ends it a turn later."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__()
        self._broker = broker
        self._turn = 0
        self.snapshots: list[int] = []

    def is_set(self) -> bool:
        self._turn += 1
        if self._turn == 5:
            self._broker.evict(GROUP)
        if self._turn >= 5:
            self.snapshots.append(len(self._broker.sent(topics.PREDICTOR_STATE.name)))
        return self._turn > 5


def test_every_reading_gets_a_verdict_and_every_fault_an_alarm(
    bench: Bench, clock: Any, readings: Sequence[Reading]
) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    stored = bench.stored()
    identities = {reading.identity for reading in readings}
    assert set(stored.verdicts) == identities
    assert {event.alarm.machine_id for event in stored.events.values()} == set(MACHINES)
    statuses = {verdict.status for verdict in stored.verdicts.values()}
    assert statuses == {Status.NORMAL, Status.FAILURE, Status.WARMING_UP, Status.LATE}


def test_alarms_carry_their_machines_key(bench: Bench, clock: Any) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    for number in range(topics.ALARMS.partitions):
        for message in bench.broker.read(Partition(topics.ALARMS.name, number)):
            assert message.key == alarms.decode(message.value).alarm.machine_id.encode()


def test_an_opened_alarm_is_logged_with_its_sentence(bench: Bench, clock: Any) -> None:
    with capture_logs() as logs:
        bench.stream(bench.broker, clock).run(bench.done())
    told = {entry["machine"]: entry["why"] for entry in logs if entry["event"] == "alarm opened"}
    assert set(told) == set(MACHINES)
    assert all(why.startswith(f"{machine}: ") for machine, why in told.items())
    assert all("% of the deviation" in why for why in told.values())


def test_a_second_process_goes_on_where_the_first_stopped(bench: Bench, clock: Any) -> None:
    bench.stream(bench.broker, clock).run(bench.done())
    before = bench.stored().messages
    more = [
        make_reading(machine, second * 1_000, {"flow": 0.0, "heat": 0.0}, "pump")
        for machine in MACHINES
        for second in (60, 61)
    ]
    bench.send(more)
    bench.stream(bench.broker, clock).run(bench.done())
    stored = bench.stored()
    assert stored.messages == before + len(MACHINES)
    assert {stored.verdicts[reading.identity].status for reading in more} == {Status.NORMAL}


def test_a_new_version_judges_whole_batches_and_is_named_by_them(
    bench: Bench, clock: Any, make_detector: MakeDetector
) -> None:
    def promote(looks: int) -> None:
        if looks == 5:
            bench.model = Model("faultline-pump", "2", make_detector(boundary=3.0))

    bench.stream(bench.broker, clock).run(bench.done(promote))
    stored = bench.stored()
    assert stored.versions == {"1", "2"}
    assert sum(v.status is Status.WARMING_UP for v in stored.verdicts.values()) == 2 * len(MACHINES)


def test_the_first_version_scores_machines_that_were_seen_before_it(
    bench: Bench, clock: Any
) -> None:
    model, bench.model = bench.model, None
    bench.stream(bench.broker, clock).run(bench.done())
    bench.model = model
    more = [
        make_reading(machine, 41_000, {"flow": 0.0, "heat": 0.0}, "pump") for machine in MACHINES
    ]
    bench.send(more)
    bench.stream(bench.broker, clock).run(bench.done())
    stored = bench.stored()
    assert {stored.verdicts[reading.identity].status for reading in more} == {Status.NORMAL}


def test_a_message_that_cannot_be_read_does_not_stop_the_stream(bench: Bench, clock: Any) -> None:
    bench.broker.producer().send(topics.READINGS.name, MACHINES[0].encode(), b"\xff{")
    bench.messages += 1
    bench.send([make_reading(MACHINES[0], 50_000, {"flow": 0.0, "heat": 0.0}, "pump")])
    bench.stream(bench.broker, clock).run(bench.done())
    assert (MACHINES[0], 50_000) in bench.stored().verdicts


def test_a_member_that_was_thrown_out_publishes_no_snapshots(bench: Bench, clock: Any) -> None:
    evicting = _Evicting(bench.broker)
    bench.stream(bench.broker, clock, checkpoint_s=1e9).run(evicting)
    before, after = evicting.snapshots[:2]
    assert before == after
    assert bench.broker.sent(topics.VERDICTS.name)


def test_snapshots_lie_beside_the_readings_wherever_their_sender_put_them(
    bench: Bench, clock: Any
) -> None:
    messages = bench.broker.sent(topics.READINGS.name)
    bench.broker = broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    producer = broker.producer()
    for message in messages:
        number = (message.partition.number + 1) % topics.READINGS.partitions
        producer.send(topics.READINGS.name, message.key, message.value, partition=number)
    producer.flush(1)
    bench.stream(broker, clock).run(bench.done())
    places = {
        name: {(each.key, each.partition.number) for each in broker.sent(name)}
        for name in (topics.READINGS.name, topics.PREDICTOR_STATE.name)
    }
    assert places[topics.PREDICTOR_STATE.name] == places[topics.READINGS.name]
