"""What every log of triggers must do, held against the one in memory and PostgreSQL's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.ports.jobs import JobResult, JobState, TrainingRequest
from faultline.ports.stores import RecordBatch
from faultline.ports.triggers import (
    NewReadings,
    Occasion,
    Suppressed,
    Trigger,
    TriggerKind,
    TriggerLog,
)
from faultline.readings import Reading

Database = MemoryDatabase | PostgresDatabase

HOUR_MS = 3_600_000
# Later than any clock: the jobs' times are the database's own.
LATER = 2_500_000_000_000
PUMP = TrainingRequest(machine_type="pump", trigger="schedule", trigger_detail="every 6h")
RESULT = JobResult(
    model_name="faultline-pump", model_version="1", run_id="r", promoted=True, decision="passed"
)


def occasion(slot: str = "1", **changes: Any) -> Occasion:
    made = Occasion(
        machine_type="pump",
        kind=TriggerKind.SCHEDULE,
        slot=slot,
        since_ms=LATER,
        detail="größer als 3",
    )
    return structs.replace(made, **changes)


def store(database: Database, rows: int, first: int = 0, machine: str = "pump-1") -> None:
    readings = [
        Reading(
            machine_id=machine,
            machine_type=machine.split("-", maxsplit=1)[0],
            timestamp_ms=1_795_000_000_000 + first + row,
            sensors={"flow": 1.0},
        )
        for row in range(rows)
    ]
    database.record_store().record("g", RecordBatch(offsets={}, readings=readings), lambda _: None)


def train(database: Database, how: str = "succeed") -> str:
    """Work on the oldest job."""
    queue = database.job_queue()
    job = queue.claim("w", 60.0)
    assert job is not None
    if how == "succeed":
        queue.succeed(job.job_id, "w", RESULT)
    elif how == "fail":
        queue.fail(job.job_id, "w", "too little")
    else:
        queue.cancel(job.job_id)
        queue.release(job.job_id, "w")
    return job.job_id


@pytest.fixture
def log(database: Database) -> TriggerLog:
    store(database, 3)
    return database.trigger_log()


def decide(log: TriggerLog, one: Occasion, now_ms: int = LATER, cooldown_ms: int = 0) -> Trigger:
    trigger = log.decide(one, PUMP, now_ms, cooldown_ms)
    assert trigger is not None
    return trigger


def test_an_occasion_queues_a_training_and_is_kept_whole(
    database: Database, log: TriggerLog
) -> None:
    trigger = decide(log, occasion())
    [job] = database.job_queue().list()
    assert (job.job_id, job.request, job.state) == (trigger.job_id, PUMP, JobState.QUEUED)
    assert (trigger.occasion, trigger.at_ms, trigger.suppressed) == (occasion(), LATER, None)
    assert log.list() == [trigger]


def test_the_same_occasion_is_decided_once(database: Database, log: TriggerLog) -> None:
    decide(log, occasion())
    train(database)
    assert log.decide(occasion(), PUMP, LATER + HOUR_MS, 0) is None
    assert len(database.job_queue().list()) == 1


def test_of_many_who_see_an_occasion_at_once_one_starts_a_training(
    database: Database, log: TriggerLog
) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: log.decide(occasion(), PUMP, LATER, 0), range(8)))
    assert sum(one is not None for one in told) == 1
    assert len(database.job_queue().list()) == 1


@pytest.mark.parametrize("running", [False, True])
def test_nothing_is_started_while_a_training_of_the_type_waits_or_runs(
    database: Database, log: TriggerLog, running: bool
) -> None:
    database.job_queue().submit(PUMP)
    if running:
        database.job_queue().claim("w", 60.0)
    trigger = decide(log, occasion())
    assert (trigger.job_id, trigger.suppressed) == (None, Suppressed.BUSY)
    assert len(database.job_queue().list()) == 1
    assert log.list() == [trigger]


def test_a_training_of_another_type_is_none_of_its_business(
    database: Database, log: TriggerLog
) -> None:
    database.job_queue().submit(TrainingRequest(machine_type="valve"))
    assert decide(log, occasion()).job_id is not None


def test_the_cooldown_holds_for_all_kinds_of_a_type_and_then_ends(
    database: Database, log: TriggerLog
) -> None:
    decide(log, occasion())
    train(database, "fail")
    by_drift = occasion("event-1", kind=TriggerKind.DRIFT)
    early = decide(log, by_drift, LATER + HOUR_MS - 1, HOUR_MS)
    assert early.suppressed is Suppressed.COOLDOWN
    # A time of the schedule is gone: the next comes by itself.
    assert decide(log, occasion("2"), LATER, HOUR_MS).suppressed is Suppressed.COOLDOWN
    assert log.decide(occasion("2"), PUMP, LATER + HOUR_MS, HOUR_MS) is None
    late = decide(log, by_drift, LATER + HOUR_MS, HOUR_MS)
    assert (late.job_id is not None, late.attempt) == (True, 2)
    assert log.decide(by_drift, PUMP, LATER + 9 * HOUR_MS, 0) is None


def test_another_type_has_a_cooldown_of_its_own(database: Database, log: TriggerLog) -> None:
    store(database, 1, machine="valve-1")
    decide(log, occasion(), LATER, HOUR_MS)
    assert decide(log, occasion(machine_type="valve"), LATER, HOUR_MS).job_id is not None


def test_what_a_later_training_has_seen_starts_none(database: Database, log: TriggerLog) -> None:
    database.job_queue().submit(PUMP)
    job = database.job_queue().get(train(database))
    before = occasion(since_ms=job.created_at_ms)
    assert decide(log, before, job.created_at_ms).suppressed is Suppressed.TRAINED_SINCE
    after = occasion("2", since_ms=job.created_at_ms + 1)
    assert decide(log, after, job.created_at_ms).job_id is not None


def test_a_failed_training_has_seen_nothing(database: Database, log: TriggerLog) -> None:
    database.job_queue().submit(PUMP)
    train(database, "fail")
    assert decide(log, occasion(since_ms=0)).job_id is not None


def test_a_type_without_readings_is_not_trained(log: TriggerLog) -> None:
    trigger = decide(log, occasion(machine_type="valve"))
    assert trigger.suppressed is Suppressed.NO_READINGS


def test_new_data_that_came_too_early_starts_a_training_when_it_may(
    database: Database, log: TriggerLog
) -> None:
    decide(log, occasion())
    new_data = occasion("first/1", kind=TriggerKind.NEW_DATA)
    assert decide(log, new_data, LATER, HOUR_MS).suppressed is Suppressed.BUSY
    assert log.decide(new_data, PUMP, LATER + 1, HOUR_MS) is None
    train(database)
    assert decide(log, new_data, LATER + 2, HOUR_MS).suppressed is Suppressed.COOLDOWN
    started = decide(log, new_data, LATER + HOUR_MS, HOUR_MS)
    assert (started.job_id, started.suppressed) == (database.job_queue().list()[0].job_id, None)
    assert log.decide(new_data, PUMP, LATER + 9 * HOUR_MS, 0) is None
    assert [one.attempt for one in log.list()] == [3, 2, 1, 1]
    assert log.list(limit=1) == [started]


def test_the_newest_of_what_was_put_off_is_to_be_decided_again(
    database: Database, log: TriggerLog
) -> None:
    by_drift = occasion("event-1", kind=TriggerKind.DRIFT)
    newer = occasion("event-2", kind=TriggerKind.DRIFT, since_ms=LATER + 1)
    database.job_queue().submit(PUMP)
    for one in (newer, by_drift, occasion(), occasion("first/1", kind=TriggerKind.NEW_DATA)):
        decide(log, one)
    [put_off] = log.put_off()
    assert (put_off.occasion, put_off.suppressed) == (newer, Suppressed.BUSY)
    train(database, "fail")
    assert decide(log, newer).job_id is not None
    # Of what is older than what has started a training nobody needs to think any more.
    assert log.put_off() == []


def test_drift_whose_training_failed_is_put_off_until_one_has_succeeded(
    database: Database, log: TriggerLog
) -> None:
    by_drift = occasion(kind=TriggerKind.DRIFT, since_ms=0)
    first = decide(log, by_drift)
    assert log.put_off() == []
    train(database, "fail")
    assert log.put_off() == [first]
    again = decide(log, by_drift)
    assert (again.job_id, again.attempt) == (database.job_queue().list()[0].job_id, 2)
    assert again.job_id != first.job_id
    train(database, "fail")
    database.job_queue().submit(PUMP)
    train(database)
    assert decide(log, by_drift).suppressed is Suppressed.TRAINED_SINCE
    assert log.put_off() == []


@pytest.mark.parametrize(
    ("kind", "how"), [(TriggerKind.DRIFT, "cancel"), (TriggerKind.SCHEDULE, "fail")]
)
def test_a_cancelled_training_or_a_failed_one_of_another_kind_is_not_made_up_for(
    database: Database, log: TriggerLog, kind: TriggerKind, how: str
) -> None:
    decide(log, occasion(kind=kind))
    train(database, how)
    assert log.put_off() == []
    assert log.decide(occasion(kind=kind), PUMP, LATER, 0) is None


def test_drift_whose_trainings_go_on_failing_is_given_up(
    database: Database, log: TriggerLog
) -> None:
    by_drift = occasion(kind=TriggerKind.DRIFT)
    for _ in range(10):
        assert decide(log, by_drift).job_id is not None
        train(database, "fail")
    assert log.put_off() == []
    assert log.decide(by_drift, PUMP, LATER, 0) is None


def test_a_challenger_that_gathers_readings_puts_off_a_schedule(
    database: Database, log: TriggerLog
) -> None:
    waits = log.decide(occasion(), PUMP, LATER, 0, challenger_waits=True)
    assert waits is not None
    assert (waits.job_id, waits.suppressed) == (None, Suppressed.CHALLENGER_WAITING)
    assert log.put_off() == [waits]
    assert log.decide(occasion(), PUMP, LATER, 0, challenger_waits=True) is None
    assert decide(log, occasion()).attempt == 2
    assert log.put_off() == []


def test_triggers_come_newest_first_and_only_those_asked_for(
    database: Database, log: TriggerLog
) -> None:
    store(database, 1, machine="valve-1")
    first = decide(log, occasion("1"))
    second = decide(log, occasion("2"))
    valve = decide(log, occasion("3", machine_type="valve"), LATER + 1)
    assert log.list() == [valve, second, first]
    assert log.list("pump") == [second, first]
    assert log.list(limit=2) == [valve, second]
    assert log.list("fan") == []
    assert log.list("\0") == []


def test_a_schedule_holds_since_it_was_first_seen_until_it_changes(log: TriggerLog) -> None:
    assert log.scheduled_since("pump", "every 6h", LATER) == LATER
    assert log.scheduled_since("pump", "every 6h", LATER + 5) == LATER
    assert log.scheduled_since("valve", "every 6h", LATER + 6) == LATER + 6
    assert log.scheduled_since("pump", "0 3 * * *", LATER + 7) == LATER + 7
    assert log.scheduled_since("pump", "0 3 * * *", LATER + 8) == LATER + 7


def test_readings_are_new_until_a_training_ends(database: Database, log: TriggerLog) -> None:
    assert log.new_readings() == {"pump": NewReadings(3, None)}
    database.job_queue().submit(PUMP)
    store(database, 2, first=10, machine="pump-2")
    assert log.new_readings() == {"pump": NewReadings(5, None)}
    first = train(database)
    assert log.new_readings() == {"pump": NewReadings(0, first)}
    # Whatever their time: older ones are new too.
    store(database, 4, first=-100)
    store(database, 1, machine="valve-1")
    assert log.new_readings() == {"pump": NewReadings(4, first), "valve": NewReadings(1, None)}
    database.job_queue().submit(PUMP)
    second = train(database, "fail")
    assert log.new_readings()["pump"] == NewReadings(0, second)


def test_a_cancelled_training_has_used_no_readings(database: Database, log: TriggerLog) -> None:
    database.job_queue().submit(PUMP)
    train(database, "cancel")
    assert log.new_readings() == {"pump": NewReadings(3, None)}
