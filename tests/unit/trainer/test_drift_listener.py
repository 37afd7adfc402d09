"""Drift starts trainings, each event once."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import msgspec
import pytest

from faultline import drift
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.errors import Unavailable
from faultline.ports.broker import Partition
from faultline.ports.triggers import Suppressed
from faultline.topics import DRIFT_EVENTS
from services.trainer.assembly import Trainer
from services.trainer.drift_listener import GROUP

PARTITION = Partition(DRIFT_EVENTS.name, 0)


@pytest.fixture
def world(make_world: Any) -> Any:
    made = make_world(trainer_cooldown_s=3_600)
    made.store_history(1)
    made.broker.create_topics([DRIFT_EVENTS])
    return made


def event(world: Any, event_id: str = "e-1", **changes: Any) -> bytes:
    found = Finding(kind=DriftKind.SENSOR, name="flow\0", statistic=0.5, threshold=0.3)
    made = DriftEvent(
        event_id=event_id,
        machine_type="pump",
        model_name="faultline-pump",
        model_version="3",
        at_ms=world.clock.now_ms(),
        findings=(found,),
        start_ms=0,
        end_ms=1,
        readings=200,
    )
    return drift.encode(msgspec.structs.replace(made, **changes))


def send(world: Any, *values: bytes) -> None:
    producer = world.broker.producer()
    for value in values:
        producer.send(DRIFT_EVENTS.name, b"pump", value)


def listen(world: Any, trainer: Trainer | None = None) -> None:
    """Take what there is, as one trainer of its group."""
    with closing(world.broker.consumer(GROUP, [DRIFT_EVENTS])) as consumer:
        (trainer or world.trainer).drift_listener.step(consumer, threading.Event())


def suppressed(world: Any) -> list[Suppressed | None]:
    return [one.suppressed for one in reversed(world.trigger_log.list())]


def count(world: Any, outcome: str) -> float | None:
    return world.trainer.metrics.registry.get_sample_value(
        "faultline_trainer_triggers_total", {"kind": "drift", "outcome": outcome}
    )


def test_drift_starts_a_training_that_says_what_drifted(world: Any) -> None:
    send(world, event(world))
    listen(world)
    [job] = world.queue.list()
    assert (job.request.machine_type, job.request.trigger) == ("pump", "drift")
    assert job.request.trigger_detail.startswith("drift from version 3: sensor flow 0.5 (limit 0.3")
    assert world.broker.committed(GROUP) == {PARTITION: 1}
    assert count(world, "started") == 1


def test_an_event_that_comes_again_starts_nothing(world: Any) -> None:
    told = event(world)
    send(world, told)
    listen(world)
    assert world.work()
    world.clock.sleep(10 * 3_600)
    send(world, told)
    listen(world, world.start())
    assert len(world.queue.list()) == 1
    assert suppressed(world) == [None]


def test_more_drift_while_a_training_waits_or_within_the_cooldown_starts_none(world: Any) -> None:
    send(world, event(world, "e-1"), event(world, "e-2"))
    listen(world)
    assert world.work()
    send(world, event(world, "e-3"))
    listen(world)
    assert suppressed(world) == [None, Suppressed.BUSY, Suppressed.COOLDOWN]
    world.clock.sleep(3_600)
    send(world, event(world, "e-4"))
    listen(world)
    assert suppressed(world)[-1] is None
    assert len(world.queue.list()) == 2


def test_drift_that_was_put_off_starts_a_training_when_it_may(world: Any) -> None:
    by_hand = world.submit()
    send(world, event(world, "e-1"), event(world, "e-2"))
    listen(world)
    assert suppressed(world) == [Suppressed.BUSY, Suppressed.BUSY]
    world.queue.cancel(by_hand.job_id)
    # Another trainer than the one that heard of it, and of two events the newer.
    world.start().watch.look()
    world.trainer.watch.look()
    [job, _] = world.queue.list()
    assert job.request.trigger == "drift"
    assert job.request.trigger_detail.endswith("; put off before (busy)")
    [last, *others] = world.trigger_log.list()
    assert (last.occasion.slot, last.job_id, last.attempt) == ("e-2", job.job_id, 2)
    # Every decision keeps its row.
    assert [one.suppressed for one in others] == [Suppressed.BUSY, Suppressed.BUSY]


def test_drift_within_the_cooldown_starts_a_training_afterwards(world: Any) -> None:
    send(world, event(world, "e-1"))
    listen(world)
    assert world.work()
    send(world, event(world, "e-2"))
    listen(world)
    world.trainer.watch.look()
    assert suppressed(world) == [None, Suppressed.COOLDOWN]
    world.clock.sleep(3_600)
    world.trainer.watch.look()
    assert suppressed(world) == [None, Suppressed.COOLDOWN, None]
    assert len(world.queue.list()) == 2


def test_drift_that_a_training_has_answered_meanwhile_starts_none(world: Any) -> None:
    by_hand = world.submit()
    send(world, event(world))
    listen(world)
    world.queue.cancel(by_hand.job_id)
    world.train()
    world.trainer.watch.look()
    assert suppressed(world) == [Suppressed.BUSY, Suppressed.TRAINED_SINCE]
    world.clock.sleep(10 * 3_600)
    world.trainer.watch.look()
    assert len(world.trigger_log.list()) == 2


def test_drift_from_before_the_last_training_starts_none(world: Any) -> None:
    found_before = event(world)
    world.train()
    send(world, found_before)
    listen(world)
    assert suppressed(world) == [Suppressed.TRAINED_SINCE]


def test_drift_of_a_type_without_readings_starts_none(world: Any) -> None:
    send(world, event(world, machine_type="valve"))
    listen(world)
    assert suppressed(world) == [Suppressed.NO_READINGS]


def test_what_cannot_be_read_is_passed_over_and_counted(world: Any) -> None:
    bad = [
        b"\xff",
        b"{}",
        event(world, "a\0b"),
        event(world, "e" * 257),
        event(world, machine_type="Pump"),
        event(world, at_ms=10**15),
    ]
    send(world, *bad, event(world))
    listen(world)
    assert count(world, "unreadable") == len(bad)
    assert suppressed(world) == [None]
    assert world.broker.committed(GROUP) == {PARTITION: len(bad) + 1}


def test_while_the_store_is_down_an_event_is_waited_for_and_not_skipped(world: Any) -> None:
    down = Unavailable("PostgreSQL is down")
    world.trigger_log.plan("decide", down, down)
    send(world, event(world))
    listen(world)
    assert suppressed(world) == [None]


def test_an_event_that_was_not_done_with_when_the_trainer_stopped_comes_again(world: Any) -> None:
    send(world, event(world))
    stopping = threading.Event()
    stopping.set()
    with closing(world.broker.consumer(GROUP, [DRIFT_EVENTS])) as consumer:
        world.trainer.drift_listener.step(consumer, stopping)
    assert suppressed(world) == []
    listen(world)
    assert suppressed(world) == [None]


def test_drift_whose_training_failed_starts_another_after_the_cooldown(world: Any) -> None:
    send(world, event(world))
    listen(world)
    failed = world.queue.claim("w", 60.0)
    world.queue.fail(failed.job_id, "w", "too little")
    world.trainer.watch.look()
    assert suppressed(world) == [None, Suppressed.COOLDOWN]
    world.clock.sleep(3_600)
    world.trainer.watch.look()
    assert suppressed(world) == [None, Suppressed.COOLDOWN, None]
    assert world.work()
    world.trainer.watch.look()
    assert len(world.queue.list()) == 2


def test_a_training_that_makes_up_for_a_failed_one_says_so(make_world: Any) -> None:
    world = make_world(trainer_cooldown_s=0)
    world.store_history(1)
    world.broker.create_topics([DRIFT_EVENTS])
    send(world, event(world))
    listen(world)
    failed = world.queue.claim("w", 60.0)
    world.queue.fail(failed.job_id, "w", "too little")
    world.trainer.watch.look()
    [again, _] = world.queue.list()
    assert again.request.trigger_detail.endswith(f"before failed ({failed.job_id})")


def test_a_trainer_that_is_told_so_does_not_listen(make_world: Any) -> None:
    deaf, hearing = make_world(trainer_on_drift=False), make_world()
    assert "drift" in {loop.name for loop in hearing.trainer.loops}
    assert "drift" not in {loop.name for loop in deaf.trainer.loops}


def test_a_trainer_that_is_told_so_forgets_drift_that_was_put_off(world: Any) -> None:
    by_hand = world.submit()
    send(world, event(world))
    listen(world)
    world.queue.cancel(by_hand.job_id)
    world.settings["trainer_on_drift"] = False
    world.start().watch.look()
    assert suppressed(world) == [Suppressed.BUSY]
