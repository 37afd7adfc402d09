import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from faultline.adapters.memory import MemoryDatabase
from faultline.errors import Conflict, Unavailable
from faultline.ports.jobs import JobQueue, TrainingJob, TrainingRequest
from services.trainer.lease import Cancelled, Lease, LeaseLost, Stopped

QUICK_S = 0.03


class ForgetfulQueue:
    """A queue that cannot be reached for the first renewals, and counts them."""

    def __init__(self, queue: JobQueue, failures: int = 0) -> None:
        self._queue = queue
        self._failures = failures
        self.renewals: list[str] = []

    def renew(self, job_id: str, worker: str, lease_s: float, progress: str) -> None:
        self.renewals.append(progress)
        if len(self.renewals) <= self._failures:
            raise Unavailable("down")
        self._queue.renew(job_id, worker, lease_s, progress)

    def commit(self, job_id: str, worker: str, lease_s: float) -> None:
        self.renew(job_id, worker, lease_s, "committed")

    def get(self, job_id: str) -> TrainingJob:
        return self._queue.get(job_id)


@pytest.fixture
def queue() -> JobQueue:
    return MemoryDatabase().job_queue()


@pytest.fixture
def job(queue: JobQueue) -> TrainingJob:
    queue.submit(TrainingRequest(machine_type="pump"))
    claimed = queue.claim("me", 60.0)
    assert claimed is not None
    return claimed


def a_lease(
    queue: Any, job: TrainingJob, lease_s: float = 60.0, stop: threading.Event | None = None
) -> Lease:
    return Lease(queue, job, "me", lease_s, stop or threading.Event())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.005)


def test_what_is_told_is_the_jobs_progress(queue: JobQueue, job: TrainingJob) -> None:
    with a_lease(queue, job) as lease:
        lease.tell("fitting")
    assert queue.get(job.job_id).progress == "fitting"


def test_the_same_told_again_asks_the_queue_nothing(queue: JobQueue, job: TrainingJob) -> None:
    counting = ForgetfulQueue(queue)
    with a_lease(counting, job) as lease:
        lease.tell("fitting")
        lease.tell("fitting")
    assert counting.renewals == ["fitting"]


def test_the_heartbeat_goes_on_while_something_takes_long(
    queue: JobQueue, job: TrainingJob
) -> None:
    counting = ForgetfulQueue(queue)
    with a_lease(counting, job, QUICK_S) as lease:
        lease.tell("fitting")
        wait_for(lambda: len(counting.renewals) > 3)
    assert set(counting.renewals) == {"fitting"}


def test_the_heartbeat_survives_a_queue_that_is_down(queue: JobQueue, job: TrainingJob) -> None:
    counting = ForgetfulQueue(queue, failures=3)
    with a_lease(counting, job, QUICK_S) as lease:
        lease.tell("fitting")
        wait_for(lambda: len(counting.renewals) > 5)
        lease.tell("logging")
    assert queue.get(job.job_id).progress == "logging"


def test_the_heartbeat_ends_with_the_work(queue: JobQueue, job: TrainingJob) -> None:
    with a_lease(queue, job):
        assert "lease" in {thread.name for thread in threading.enumerate()}
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_lease_that_went_to_another_is_lost(queue: JobQueue, job: TrainingJob) -> None:
    queue.fail(job.job_id, "me", "over")
    with a_lease(queue, job) as lease:
        with pytest.raises(LeaseLost):
            lease.tell("fitting")
        with pytest.raises(LeaseLost):
            lease.confirm()


def test_a_lease_that_the_heartbeat_lost_is_told_of(queue: JobQueue, job: TrainingJob) -> None:
    counting = ForgetfulQueue(queue)
    with a_lease(counting, job, QUICK_S) as lease:
        lease.tell("fitting")
        queue.fail(job.job_id, "me", "over")
        seen = len(counting.renewals)
        wait_for(lambda: len(counting.renewals) > seen)
        with pytest.raises(LeaseLost):
            lease.tell("fitting")


def test_confirming_asks_the_queue_even_when_nothing_is_new(
    queue: JobQueue, job: TrainingJob
) -> None:
    counting = ForgetfulQueue(queue)
    with a_lease(counting, job) as lease:
        lease.tell("fitting")
        lease.confirm()
    assert counting.renewals == ["fitting", "committed"]


def test_what_is_confirmed_cannot_be_cancelled(queue: JobQueue, job: TrainingJob) -> None:
    with a_lease(queue, job) as lease:
        lease.confirm()
        with pytest.raises(Conflict, match="past being cancelled"):
            queue.cancel(job.job_id)
        lease.tell("registering")


def test_a_job_that_was_cancelled_is_told_to_be_so(queue: JobQueue, job: TrainingJob) -> None:
    with a_lease(queue, job) as lease:
        queue.cancel(job.job_id)
        with pytest.raises(Cancelled):
            lease.confirm()
        with pytest.raises(Cancelled):
            lease.tell("registering")


def test_confirming_says_when_it_cannot_be_known(queue: JobQueue, job: TrainingJob) -> None:
    with a_lease(ForgetfulQueue(queue, failures=9), job) as lease:
        lease.tell("registering")
        with pytest.raises(Unavailable):
            lease.confirm()


def test_a_stopping_service_ends_the_work(queue: JobQueue, job: TrainingJob) -> None:
    stop = threading.Event()
    with a_lease(queue, job, stop=stop) as lease:
        lease.tell("fitting")
        stop.set()
        with pytest.raises(Stopped):
            lease.tell("fitting")


def test_a_cancelled_job_is_noticed_long_before_its_lease_is_renewed(
    queue: JobQueue, job: TrainingJob
) -> None:
    counting = ForgetfulQueue(queue)

    def noticed(lease: Lease) -> bool:
        try:
            lease.tell("")
        except Cancelled:
            return True
        return False

    with a_lease(counting, job) as lease:
        queue.cancel(job.job_id)
        wait_for(lambda: noticed(lease))
    assert counting.renewals == []
