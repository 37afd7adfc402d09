"""Training jobs are queued with all that was asked for, found and listed."""

from __future__ import annotations

import pytest

from faultline.errors import NotFound
from faultline.ports.jobs import JobQueue, JobState, Period, TrainingRequest
from tests.contract.job_queue.jobs import LONG_S, PUMP, VALVE, taken


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
