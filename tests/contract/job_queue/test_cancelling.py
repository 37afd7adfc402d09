"""Until when a job can be cancelled, and when the next of its type begins."""

from __future__ import annotations

import pytest

from faultline.errors import Conflict
from faultline.ports.jobs import JobQueue, JobState
from tests.contract.job_queue.jobs import AT_ONCE_S, LONG_S, PUMP, RESULT, eventually, taken


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
