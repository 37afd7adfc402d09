"""A job has one worker at a time, under a lease, and a machine type one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from faultline.errors import Conflict
from faultline.ports.jobs import JobQueue, JobState, TrainingRequest
from tests.contract.job_queue.jobs import AT_ONCE_S, LONG_S, PUMP, RESULT, VALVE, eventually, taken


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
