"""What starts trainings by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from faultline import drift
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.errors import Unavailable
from faultline.ports.jobs import TrainingJob
from faultline.ports.registry import ModelVersion, Stage
from faultline.ports.triggers import Suppressed, Trigger
from faultline.topics import DRIFT_EVENTS
from services.trainer.drift_listener import GROUP
from services.trainer.succession import gathers

HOUR_MS = 3_600_000
BASE = "/api/v1/ml/models"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def set_clock(world: Any, text: str) -> None:
    # The fake clock moves on by a millisecond before it tells the time.
    world.clock.ms = ms(text) - 1


@pytest.fixture
def at_ten(make_world: Callable[..., Any]) -> Callable[..., Any]:
    """A world of pumps at ten o'clock, without cooldown unless asked for."""

    def make(**settings: Any) -> Any:
        world = make_world(**{"trainer_cooldown_s": 0, **settings})
        world.store_history(1)
        set_clock(world, "2026-11-21T10:00:00")
        return world

    return make


def jobs(world: Any) -> Sequence[TrainingJob]:
    return list(reversed(world.queue.list()))


def triggers(world: Any) -> Sequence[Trigger]:
    return list(reversed(world.trigger_log.list()))


def count(world: Any, kind: str, outcome: str) -> float:
    labels = {"kind": kind, "outcome": outcome}
    registry = world.trainer.metrics.registry
    return registry.get_sample_value("faultline_trainer_triggers_total", labels) or 0.0


def drift_event(at_ms: int) -> bytes:
    return drift.encode(
        DriftEvent(
            event_id="e-1",
            machine_type="pump",
            model_name="faultline-pump",
            model_version="1",
            at_ms=at_ms,
            findings=(Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.3),),
            start_ms=0,
            end_ms=1,
            readings=200,
        )
    )


def versions_that_gather(world: Any) -> list[ModelVersion]:
    return [one for one in world.registry.versions("faultline-pump") if gathers(one)]


class TestSchedule:
    def test_a_training_starts_when_it_is_due_and_says_by_what(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="0 3 * * *; pump=every 6h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:59:59.900")
        world.trainer.watch.look()
        assert jobs(world) == []
        set_clock(world, "2026-11-21T12:00:00")
        world.trainer.watch.look()
        world.trainer.watch.look()
        [job] = jobs(world)
        assert (job.request.machine_type, job.request.promotion) == ("pump", "auto")
        assert (job.request.requested_by, job.request.trigger) == ("trainer", "schedule")
        assert job.request.trigger_detail == "schedule every 6h (UTC), due 2026-11-21T12:00:00.000Z"
        assert count(world, "schedule", "started") == 1
        # What was due is asked about once, not at every look.
        assert world.trigger_log.calls.count("decide") == 1

    def test_it_trains_registers_and_promotes_like_one_by_hand(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        world.trainer.watch.look()
        assert world.work()
        production = world.registry.production("faultline-pump")
        assert (production.version, production.tags["trigger"]) == ("1", "schedule")

    def test_what_was_due_before_the_schedule_was_made_is_not_made_up_for(
        self, at_ten: Any
    ) -> None:
        world = at_ten(trainer_schedule="0 3 * * *")
        world.trainer.watch.look()
        world.start().watch.look()
        assert jobs(world) == []
        assert triggers(world) == []

    def test_of_what_was_missed_while_down_one_is_made_up_for(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T15:20:00")
        again = world.start()
        again.watch.look()
        again.watch.look()
        [job] = jobs(world)
        assert job.request.trigger_detail.endswith("due 2026-11-21T15:00:00.000Z")

    def test_two_trainers_start_one_training(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h")
        both = [world.trainer, world.start()]
        for trainer in both:
            trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        both[0].watch.look()
        assert world.work()
        both[1].watch.look()
        assert len(jobs(world)) == 1

    def test_another_schedule_begins_when_it_is_seen_first(
        self, at_ten: Any, make_world: Any
    ) -> None:
        world = at_ten(trainer_schedule="every 12h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:20:00")
        world.settings["trainer_schedule"] = "every 1h"
        hourly = world.start()
        hourly.watch.look()
        assert jobs(world) == []
        set_clock(world, "2026-11-21T12:00:00")
        hourly.watch.look()
        assert len(jobs(world)) == 1

    def test_a_time_that_a_training_stood_in_the_way_of_is_gone(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h")
        world.trainer.watch.look()
        world.submit()
        set_clock(world, "2026-11-21T11:00:00")
        world.trainer.watch.look()
        assert [one.suppressed for one in triggers(world)] == [Suppressed.BUSY]
        assert world.work()
        set_clock(world, "2026-11-21T11:30:00")
        world.start().watch.look()
        assert len(jobs(world)) == 1
        assert count(world, "schedule", "busy") == 1

    def test_while_the_store_is_down_nothing_is_missed(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        world.trigger_log.plan("decide", Unavailable("PostgreSQL is down"))
        with pytest.raises(Unavailable):
            world.trainer.watch.look()
        world.trainer.watch.look()
        assert len(jobs(world)) == 1

    def test_types_without_readings_are_left_alone(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="valve=every 1h")
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        world.trainer.watch.look()
        assert triggers(world) == []


class TestNewData:
    def test_enough_readings_since_the_last_training_start_one(self, at_ten: Any) -> None:
        # 300 are stored, and the training by hand has used them.
        world = at_ten(trainer_new_rows=300)
        world.train()
        world.store_history(2, rows=299)
        # Of pump-1 all were there.
        world.trainer.watch.look()
        assert len(jobs(world)) == 1
        world.store_history(2, rows=300)
        world.trainer.watch.look()
        by_hand, by_itself = jobs(world)
        assert (by_hand.request.trigger, by_itself.request.trigger) == ("by hand", "new data")
        assert by_itself.request.trigger_detail == (
            "300 readings since the last training, 300 are enough"
        )
        assert world.work()
        world.trainer.watch.look()
        assert len(jobs(world)) == 2

    def test_the_first_training_needs_no_hand(self, at_ten: Any) -> None:
        world = at_ten(trainer_new_rows=300)
        world.trainer.watch.look()
        world.trainer.watch.look()
        [job] = jobs(world)
        assert job.request.trigger_detail.startswith("300 readings since the first one")
        # That it has been started already is nothing to be told again and again.
        assert len(triggers(world)) == 1

    def test_without_the_setting_none_starts(self, at_ten: Any) -> None:
        world = at_ten()
        world.trainer.watch.look()
        assert jobs(world) == []

    def test_a_cooldown_puts_it_off_and_is_counted_once(self, at_ten: Any) -> None:
        world = at_ten(trainer_new_rows=100, trainer_cooldown_s=3_600)
        world.trainer.watch.look()
        assert world.work()
        world.store_history(2)
        world.trainer.watch.look()
        world.trainer.watch.look()
        assert count(world, "new data", "cooldown") == 1
        assert len(jobs(world)) == 1
        world.clock.sleep(3_600)
        world.trainer.watch.look()
        assert len(jobs(world)) == 2


class TestChallenger:
    """A version that gathers live readings is not replaced before it could have enough."""

    @pytest.fixture
    def world(self, at_ten: Any) -> Any:
        world = at_ten(gate_min_shadow_readings=1_000, trainer_schedule="every 1h")
        world.train()
        world.train()
        # Where the schedule begins; it is due at eleven.
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        return world

    def test_it_puts_off_a_schedule_until_it_has_been_judged(self, world: Any) -> None:
        world.trainer.watch.look()
        world.trainer.watch.look()
        assert [one.suppressed for one in triggers(world)] == [Suppressed.CHALLENGER_WAITING]
        world.registry.set_tags("faultline-pump", "2", {"gate": "refused"})
        world.trainer.watch.look()
        [*_, job] = jobs(world)
        assert job.request.trigger_detail.endswith(
            "due 2026-11-21T11:00:00.000Z; put off before (challenger_waiting)"
        )

    def test_it_puts_off_new_data(self, world: Any) -> None:
        world.settings |= {"trainer_schedule": None, "trainer_new_rows": 100}
        trainer = world.start()
        world.store_history(2)
        trainer.watch.look()
        assert [one.suppressed for one in triggers(world)] == [Suppressed.CHALLENGER_WAITING]

    def test_it_gives_way_after_a_day_and_its_record_says_so(self, world: Any) -> None:
        world.trainer.watch.look()
        world.clock.sleep(24 * 3_600)
        world.trainer.watch.look()
        assert world.work()
        world.trainer.probation.look()
        superseded = world.registry.version("faultline-pump", "2")
        assert superseded.tags["gate"] == "superseded"
        assert superseded.tags["gate_reason"] == (
            "version 3 took its place in the shadow after 25.0 h (trained because of schedule), "
            "when it had scored 0 of the 1,000 live readings asked for"
        )
        [last, _] = world.gate_log.list("faultline-pump", "2")
        assert (last.decision, last.reason) == ("superseded", superseded.tags["gate_reason"])

    def test_drift_takes_its_place_at_once(self, world: Any) -> None:
        world.broker.create_topics([DRIFT_EVENTS])
        producer = world.broker.producer()
        producer.send(DRIFT_EVENTS.name, b"pump", drift_event(world.clock.now_ms()))
        with closing(world.broker.consumer(GROUP, [DRIFT_EVENTS])) as consumer:
            world.trainer.drift_listener.step(consumer, threading.Event())
        assert world.work()
        world.trainer.probation.look()
        replaced = world.registry.version("faultline-pump", "2")
        assert "(trained because of drift)" in replaced.tags["gate_reason"]

    def test_a_training_by_hand_takes_its_place_at_once(self, world: Any) -> None:
        world.train()
        world.trainer.probation.look()
        replaced = world.registry.version("faultline-pump", "2")
        assert "(trained by hand)" in replaced.tags["gate_reason"]
        assert [one.version for one in versions_that_gather(world)] == ["3"]

    def test_what_was_superseded_gathers_on_when_it_is_staged_again(self, world: Any) -> None:
        world.train()
        world.trainer.probation.look()
        world.registry.set_stage("faultline-pump", "2", Stage.STAGING)
        assert [one.version for one in versions_that_gather(world)] == ["2"]


class TestSeen:
    def test_triggers_are_listed_with_what_became_of_them(self, at_ten: Any) -> None:
        world = at_ten(trainer_schedule="every 1h", trainer_cooldown_s=2 * 3_600)
        world.trainer.watch.look()
        set_clock(world, "2026-11-21T11:00:00")
        world.trainer.watch.look()
        assert world.work()
        set_clock(world, "2026-11-21T12:00:05")
        world.trainer.watch.look()
        second, first = world.http.get(f"{BASE}/triggers").json()["triggers"]
        assert (first["trigger"], first["suppressed"]) == ("schedule", None)
        assert first["job_id"] == jobs(world)[0].job_id
        assert (first["job_state"], first["model_version"]) == ("succeeded", "1")
        assert first["promoted"] is True
        assert first["outcome"].startswith("the gate passed")
        assert second == {
            "machine_type": "pump",
            "trigger": "schedule",
            "trigger_detail": "schedule every 1h (UTC), due 2026-11-21T12:00:00.000Z",
            "since": "2026-11-21T12:00:00.000Z",
            "decided_at": second["decided_at"],
            "job_id": None,
            "suppressed": "cooldown",
            "job_state": None,
            "model_version": None,
            "unchanged": None,
            "promoted": None,
            "outcome": None,
            "attempt": 1,
        }
        one = {"machine_type": "pump", "limit": 1}
        assert world.http.get(f"{BASE}/triggers", params=one).json()["triggers"] == [second]
        none = world.http.get(f"{BASE}/triggers", params={"machine_type": "valve"})
        assert none.json() == {"triggers": []}

    def test_a_job_says_what_triggered_it(self, at_ten: Any) -> None:
        world = at_ten(trainer_new_rows=300)
        world.trainer.watch.look()
        [job] = world.http.get(f"{BASE}/train").json()["jobs"]
        assert (job["requested_by"], job["trigger"]) == ("trainer", "new data")
        assert job["trigger_detail"].startswith("300 readings")
