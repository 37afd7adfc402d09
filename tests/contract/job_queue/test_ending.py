"""How a job ends, and that it ends once."""

from __future__ import annotations

import pytest
from msgspec import structs

from faultline.errors import Conflict
from faultline.ports.jobs import JobQueue, JobState
from tests.contract.job_queue.jobs import PUMP, RESULT, taken


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


def test_a_job_says_that_its_version_was_there_already(queue: JobQueue) -> None:
    job = queue.submit(PUMP)
    assert job.unchanged is None
    queue.succeed(taken(queue).job_id, "w-1", structs.replace(RESULT, unchanged=True))
    assert queue.get(job.job_id).unchanged is True
