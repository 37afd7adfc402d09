"""The worker: claims one job after another, keeps its lease, and says how each ended.

It knows the queue and the time; what a training is, it does not know.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from faultline.errors import Conflict, FaultlineError, NotFound, Unavailable
from faultline.ports.jobs import JobQueue, JobResult, TrainingJob
from faultline.telemetry import logger
from services.trainer.lease import Cancelled, Lease, LeaseLost, Stopped
from services.trainer.metrics import Metrics
from services.trainer.steps import Holding

log = logger(__name__)


class Job(Protocol):
    """What the worker does with a job; see `services.trainer.training.Training`."""

    def run(self, job: TrainingJob, holding: Holding) -> JobResult:
        """Do it, or raise a `FaultlineError` that says why it cannot be done."""

    def abandon(self, job: TrainingJob) -> None:
        """End what was begun for a job that comes to nothing."""


class Worker:
    """Works off the queue, one job at a time.

    Parameters
    ----------
    name
        Unique among all workers.
    lease_s
        After so many seconds without a heartbeat a job goes to another worker.
    poll_s
        Between two looks at an empty queue.
    retry_s
        Between two tries, while the queue cannot be reached.
    max_attempts
        A job claimed more often is failed: its workers died of it.
    niceness
        How far the worker's thread stands back for others, 0 to 19.
    """

    def __init__(
        self,
        queue: JobQueue,
        training: Job,
        metrics: Metrics,
        *,
        name: str,
        lease_s: float,
        poll_s: float,
        retry_s: float,
        max_attempts: int,
        niceness: int,
    ) -> None:
        self._queue = queue
        self._training = training
        self._metrics = metrics
        self._name = name
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._max_attempts = max_attempts
        self._niceness = niceness

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. A job under way then is given back to the queue."""
        if self._niceness and sys.platform == "linux":
            # Linux knows niceness by thread: HTTP and the heartbeat keep theirs.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while not stop.is_set():
            try:
                if not self.step(stop):
                    stop.wait(self._poll_s)
            except Unavailable as error:
                log.warning("the queue cannot be reached; waiting", why=str(error))
                stop.wait(self._retry_s)

    def step(self, stop: threading.Event) -> bool:
        """Do the next job, if there is one.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        Unavailable
            When the queue cannot be reached.
        """
        job = self._queue.claim(self._name, self._lease_s)
        if job is None:
            return False
        told = {"job": job.job_id, "machine_type": job.request.machine_type}
        if job.attempts > self._max_attempts:
            self._queue.fail(
                job.job_id,
                self._name,
                f"given up after {self._max_attempts} attempts: each time the trainer ended while "
                "it worked on it; see its log, and train on less history",
            )
            self._abandon(job)
            self._metrics.jobs.labels("failed").inc()
            return True
        log.info("job begun", **told, attempt=job.attempts)
        given_back = False
        with (
            self._metrics.running.track_inprogress(),
            self._metrics.job_seconds.time(),
            Lease(self._queue, job, self._name, self._lease_s, stop) as lease,
        ):
            try:
                outcome = self._do(job, lease, stop)
            except Cancelled:
                log.info("job cancelled", **told)
                outcome = "cancelled"
                given_back = True
            except LeaseLost as error:
                log.warning("job lost to another worker", **told, why=str(error))
                outcome = "left"
            except Stopped:
                log.info("job left, because the service stops", **told)
                outcome = "left"
                given_back = True
        if given_back:
            # After the lease's end: no late heartbeat can meet a job that is not ours any more.
            self._give_back(job)
        if outcome in {"cancelled", "failed"}:
            self._abandon(job)
        self._metrics.jobs.labels(outcome).inc()
        return True

    def _give_back(self, job: TrainingJob) -> None:
        """Let the next worker begin at once; otherwise it begins when the lease has run out.

        With this job, or where it was cancelled with another of the type.
        """
        try:
            self._queue.release(job.job_id, self._name)
        except (Conflict, NotFound, Unavailable) as error:
            log.warning("job not given back; its lease runs out", job=job.job_id, why=str(error))

    def _abandon(self, job: TrainingJob) -> None:
        try:
            self._training.abandon(job)
        except FaultlineError as error:
            log.warning("what a job began is left as it is", job=job.job_id, why=str(error))

    def _do(self, job: TrainingJob, lease: Lease, stop: threading.Event) -> str:
        told = {"job": job.job_id, "machine_type": job.request.machine_type}
        try:
            result = self._training.run(job, lease)
        except (LeaseLost, Stopped, Unavailable):
            raise
        except FaultlineError as error:
            reason = str(error)
            log.warning("job failed", **told, why=reason)
            self._end(lambda: self._queue.fail(job.job_id, self._name, reason), stop)
            return "failed"
        except Exception as error:
            # Unknown, so the process ends and begins anew; but without this job, which would end
            # it again.
            self._queue.fail(
                job.job_id,
                self._name,
                f"the trainer failed unexpectedly ({type(error).__name__}: {error}); its log has "
                "the details",
            )
            self._abandon(job)
            raise
        self._end(lambda: self._queue.succeed(job.job_id, self._name, result), stop)
        log.info(
            "job succeeded",
            **told,
            model=result.model_name,
            version=result.model_version,
            promoted=result.promoted,
            decision=result.decision,
        )
        return "succeeded"

    def _end(self, finish: Callable[[], None], stop: threading.Event) -> None:
        """Write down how the job ended, waiting while the queue cannot be reached."""
        while True:
            try:
                finish()
            except Conflict as error:
                raise LeaseLost(str(error)) from error
            except Unavailable as error:
                log.warning("the queue cannot be reached; waiting", why=str(error))
                if stop.wait(self._retry_s):
                    raise Stopped from error
            else:
                return
