"""Requests that are sent again under a key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs

from faultline.errors import KeyReused
from faultline.ports.jobs import JobQueue
from tests.contract.job_queue.jobs import PUMP, RESULT, taken

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


def test_a_request_is_known_while_its_key_has_a_job(queue: JobQueue) -> None:
    assert queue.known(KEYED) is None
    assert queue.known(PUMP) is None
    job = queue.submit(KEYED)
    assert queue.known(KEYED) == job
    with pytest.raises(KeyReused, match=job.job_id):
        queue.known(structs.replace(KEYED, promotion="hold"))
    queue.cancel(job.job_id)
    assert queue.known(KEYED) is None
    assert queue.list() == [queue.get(job.job_id)]
