"""What every job queue must do, held against the one in memory and against PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.errors import Conflict, KeyReused, NotFound
from faultline.ports.jobs import (
    JobQueue,
    JobResult,
    JobState,
    Period,
    TrainingJob,
    TrainingRequest,
)

Database = MemoryDatabase | PostgresDatabase
Value = TypeVar("Value")

LONG_S = 600.0
AT_ONCE_S = 0.001
DEADLINE_S = 20.0
PUMP, VALVE = TrainingRequest(machine_type="pump"), TrainingRequest(machine_type="valve")
RESULT = JobResult(
    model_name="faultline-pump",
    model_version="3",
    run_id="r-1",
    promoted=True,
    decision="the gate passed",
)


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return database.job_queue()


def eventually(look: Callable[[], Value | None]) -> Value:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None:
            return seen
    raise AssertionError("it did not happen in time")


def taken(queue: JobQueue, worker: str = "w-1", lease_s: float = LONG_S) -> TrainingJob:
    job = queue.claim(worker, lease_s)
    assert job is not None
    return job


def test_a_submitted_job_is_queued_with_its_whole_request(queue: JobQueue) -> None:
    request = TrainingRequest(
        machine_type="pump",
        start_ms=1,
        end_ms=2_000_000_000_000,
        machines=("pump-1", "päm\\p"),
        sensors=("flow",),
        excluded=(Period(5, 9),),
        hyperparameters={"k_max": 8, "smoothing": 0.1, "names": ["a"], "none": None},
        promotion="hold",
        requested_by="someone",
    )
    job = queue.submit(request)
    assert (job.state, job.request, job.attempts) == (JobState.QUEUED, request, 0)
    assert job.created_at_ms == job.updated_at_ms
    assert queue.get(job.job_id) == job


def test_an_unknown_job_is_not_found(queue: JobQueue) -> None:
    with pytest.raises(NotFound, match="no job 'x'"):
        queue.get("x")
    with pytest.raises(NotFound):
        queue.cancel("x")
    with pytest.raises(NotFound):
        queue.renew("x", "w-1", LONG_S, "")


def test_an_id_that_no_job_can_have_is_not_found(queue: JobQueue) -> None:
    with pytest.raises(NotFound, match="no job"):
        queue.get("a\0b")


def test_jobs_are_listed_newest_first(queue: JobQueue) -> None:
    ids = [queue.submit(PUMP).job_id for _ in range(3)]
    assert [job.job_id for job in queue.list()] == ids[::-1]
    assert [job.job_id for job in queue.list(limit=2)] == ids[:0:-1]


def test_jobs_can_be_listed_by_state(queue: JobQueue) -> None:
    queue.submit(PUMP)
    second = queue.submit(VALVE)
    first = taken(queue)
    assert [job.job_id for job in queue.list(JobState.RUNNING)] == [first.job_id]
    assert [job.job_id for job in queue.list(JobState.QUEUED)] == [second.job_id]


def test_the_oldest_queued_job_is_claimed_first(queue: JobQueue) -> None:
    first, second = queue.submit(PUMP), queue.submit(VALVE)
    job = taken(queue)
    assert (job.job_id, job.state, job.attempts) == (first.job_id, JobState.RUNNING, 1)
    assert taken(queue, "w-2").job_id == second.job_id


def test_an_empty_queue_gives_nothing(queue: JobQueue) -> None:
    assert queue.claim("w-1", LONG_S) is None


def test_a_machine_type_is_trained_by_one_job_at_a_time(queue: JobQueue) -> None:
    first, second = queue.submit(PUMP), queue.submit(PUMP)
    valve = queue.submit(VALVE)
    assert taken(queue).job_id == first.job_id
    assert taken(queue, "w-2").job_id == valve.job_id
    assert queue.claim("w-3", LONG_S) is None
    queue.succeed(first.job_id, "w-1", RESULT)
    assert taken(queue, "w-3").job_id == second.job_id


def test_workers_at_the_same_time_never_get_the_same_job_or_type(queue: JobQueue) -> None:
    for machine_type in ("a", "a", "b", "b", "c"):
        queue.submit(TrainingRequest(machine_type=machine_type))
    with ThreadPoolExecutor(8) as threads:
        claims = threads.map(lambda worker: queue.claim(f"w-{worker}", LONG_S), range(8))
    claimed = [job.request.machine_type for job in claims if job is not None]
    assert sorted(claimed) == ["a", "b", "c"]


def test_a_job_whose_worker_is_gone_is_claimed_again(queue: JobQueue) -> None:
    submitted = queue.submit(PUMP)
    taken(queue, "w-1", AT_ONCE_S)
    again = eventually(lambda: queue.claim("w-2", LONG_S))
    assert (again.job_id, again.attempts) == (submitted.job_id, 2)


def test_a_job_under_a_live_lease_is_not_claimed(queue: JobQueue) -> None:
    queue.submit(PUMP)
    taken(queue)
    assert queue.claim("w-2", LONG_S) is None


def test_a_renewed_lease_lives_on_and_says_what_is_done(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue, "w-1", AT_ONCE_S)
    queue.renew(job.job_id, "w-1", LONG_S, "fitting k = 4")
    assert queue.claim("w-2", LONG_S) is None
    assert queue.get(job.job_id).progress == "fitting k = 4"


def test_who_lost_a_job_can_neither_renew_nor_finish_it(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue, "w-1", AT_ONCE_S)
    eventually(lambda: queue.claim("w-2", LONG_S))
    lost = r"not w-1's any more.*taken by w-2"
    with pytest.raises(Conflict, match=lost):
        queue.renew(job.job_id, "w-1", LONG_S, "")
    with pytest.raises(Conflict, match=lost):
        queue.succeed(job.job_id, "w-1", RESULT)
    with pytest.raises(Conflict, match=lost):
        queue.fail(job.job_id, "w-1", "no")
    assert queue.get(job.job_id).state is JobState.RUNNING


def test_a_released_job_is_as_if_it_had_never_been_claimed(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.renew(job.job_id, "w-1", LONG_S, "fitting")
    queue.release(job.job_id, "w-1")
    released = queue.get(job.job_id)
    assert (released.state, released.attempts, released.progress) == (JobState.QUEUED, 0, "")
    again = taken(queue, "w-2")
    assert (again.job_id, again.attempts) == (job.job_id, 1)


def test_only_who_has_a_job_can_release_it(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    with pytest.raises(Conflict, match="not w-2's any more"):
        queue.release(job.job_id, "w-2")
    queue.release(job.job_id, "w-1")
    with pytest.raises(Conflict, match="queued"):
        queue.release(job.job_id, "w-1")


def test_a_job_that_succeeded_keeps_its_result(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.succeed(job.job_id, "w-1", RESULT)
    done = queue.get(job.job_id)
    assert done.state is JobState.SUCCEEDED
    assert (done.model_name, done.model_version, done.run_id, done.promoted, done.decision) == (
        "faultline-pump",
        "3",
        "r-1",
        True,
        "the gate passed",
    )


def test_a_job_that_failed_keeps_the_reason(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.fail(job.job_id, "w-1", "no rows")
    done = queue.get(job.job_id)
    assert (done.state, done.error) == (JobState.FAILED, "no rows")


def test_finishing_twice_in_the_same_way_is_finishing_once(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.succeed(job.job_id, "w-1", RESULT)
    done = queue.get(job.job_id)
    queue.succeed(job.job_id, "w-1", RESULT)
    assert queue.get(job.job_id) == done


def test_a_finished_job_cannot_be_finished_otherwise(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.succeed(job.job_id, "w-1", RESULT)
    with pytest.raises(Conflict):
        queue.fail(job.job_id, "w-1", "after all not")


def test_a_queued_job_can_be_cancelled_and_is_not_claimed(queue: JobQueue) -> None:
    job = queue.submit(PUMP)
    assert queue.cancel(job.job_id).state is JobState.CANCELLED
    assert queue.claim("w-1", LONG_S) is None


def test_a_running_job_can_be_cancelled_and_its_worker_learns_it(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    assert queue.cancel(job.job_id).state is JobState.CANCELLED
    with pytest.raises(Conflict, match="it is cancelled"):
        queue.renew(job.job_id, "w-1", LONG_S, "")
    with pytest.raises(Conflict, match="it is cancelled"):
        queue.commit(job.job_id, "w-1", LONG_S)
    with pytest.raises(Conflict, match="it is cancelled"):
        queue.succeed(job.job_id, "w-1", RESULT)
    assert queue.get(job.job_id).state is JobState.CANCELLED


def test_the_type_of_a_cancelled_job_is_free_when_its_worker_has_let_go(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job, waiting = taken(queue), queue.submit(PUMP)
    queue.cancel(job.job_id)
    assert queue.claim("w-2", LONG_S) is None
    queue.release(job.job_id, "w-1")
    assert queue.get(job.job_id).state is JobState.CANCELLED
    assert taken(queue, "w-2").job_id == waiting.job_id


def test_the_type_of_a_cancelled_job_is_free_when_its_lease_has_run_out(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job, waiting = taken(queue, "w-1", AT_ONCE_S), queue.submit(PUMP)
    queue.cancel(job.job_id)
    assert eventually(lambda: queue.claim("w-2", LONG_S)).job_id == waiting.job_id


def test_a_committed_job_cannot_be_cancelled_whoever_works_on_it(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.commit(job.job_id, "w-1", AT_ONCE_S)
    past = "past being cancelled: its version is being registered"
    with pytest.raises(Conflict, match=past):
        queue.cancel(job.job_id)
    eventually(lambda: queue.claim("w-2", LONG_S))
    with pytest.raises(Conflict, match=past):
        queue.cancel(job.job_id)
    queue.release(job.job_id, "w-2")
    with pytest.raises(Conflict, match=past):
        queue.cancel(job.job_id)


def test_who_lost_a_job_cannot_commit_it(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue, "w-1", AT_ONCE_S)
    eventually(lambda: queue.claim("w-2", LONG_S))
    with pytest.raises(Conflict, match="not w-1's any more"):
        queue.commit(job.job_id, "w-1", LONG_S)
    assert queue.cancel(job.job_id).state is JobState.CANCELLED


def test_a_finished_job_cannot_be_cancelled(queue: JobQueue) -> None:
    queue.submit(PUMP)
    job = taken(queue)
    queue.succeed(job.job_id, "w-1", RESULT)
    with pytest.raises(Conflict, match="cannot be cancelled any more: it has succeeded"):
        queue.cancel(job.job_id)
    assert queue.get(job.job_id).state is JobState.SUCCEEDED


# Requests that are sent again --------------------------------------------------------------------

KEYED = structs.replace(PUMP, idempotency_key="nightly 2026-11-21")


def test_the_same_request_under_the_same_key_is_the_same_job(queue: JobQueue) -> None:
    job = queue.submit(KEYED)
    assert queue.submit(KEYED).job_id == job.job_id
    queue.succeed(taken(queue).job_id, "w-1", RESULT)
    assert queue.submit(KEYED).model_version == "3"
    assert len(queue.list()) == 1


def test_the_trace_it_is_asked_in_makes_no_other_request(queue: JobQueue) -> None:
    job = queue.submit(structs.replace(KEYED, traceparent="00-a"))
    assert queue.submit(structs.replace(KEYED, traceparent="00-b")).job_id == job.job_id


def test_another_request_under_the_same_key_is_refused(queue: JobQueue) -> None:
    job = queue.submit(KEYED)
    with pytest.raises(KeyReused, match=job.job_id):
        queue.submit(structs.replace(KEYED, promotion="hold"))
    assert len(queue.list()) == 1


def test_requests_without_a_key_are_jobs_of_their_own(queue: JobQueue) -> None:
    assert queue.submit(PUMP).job_id != queue.submit(PUMP).job_id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_that_came_to_nothing_lets_go_of_its_key(queue: JobQueue, end: str) -> None:
    first = queue.submit(KEYED)
    if end == "failed":
        queue.fail(taken(queue).job_id, "w-1", "no history")
    else:
        queue.cancel(first.job_id)
    second = queue.submit(KEYED)
    assert second.job_id != first.job_id
    assert queue.submit(KEYED).job_id == second.job_id


def test_of_many_who_ask_at_once_under_one_key_all_get_the_same_job(queue: JobQueue) -> None:
    with ThreadPoolExecutor(4) as threads:
        jobs = list(threads.map(lambda _: queue.submit(KEYED), range(8)))
    assert len({job.job_id for job in jobs}) == 1


def test_a_job_says_that_its_version_was_there_already(queue: JobQueue) -> None:
    job = queue.submit(PUMP)
    assert job.unchanged is None
    queue.succeed(taken(queue).job_id, "w-1", structs.replace(RESULT, unchanged=True))
    assert queue.get(job.job_id).unchanged is True
