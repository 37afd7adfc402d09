"""A claimed job, kept ours while it is worked on: the heartbeat goes on in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from faultline.errors import Conflict, NotFound, Unavailable
from faultline.ports.jobs import JobQueue, JobState, TrainingJob
from faultline.telemetry import logger

log = logger(__name__)

_RENEWALS_PER_LEASE = 3
_LOOK_EVERY_S = 1.0


class LeaseLost(Exception):
    """Another worker has the job now, or it is over: leave it alone."""


class Cancelled(LeaseLost):
    """Somebody has cancelled the job."""


class Stopped(Exception):
    """The service stops: leave off, so that the job can be given back."""


class Lease:
    """A context manager for the time that a job is worked on.

    Parameters
    ----------
    worker
        Who has claimed the job.
    lease_s
        After so many seconds without a heartbeat the job goes to another worker.
    stop
        Set when the service stops.
    """

    def __init__(
        self,
        queue: JobQueue,
        job: TrainingJob,
        worker: str,
        lease_s: float,
        stop: threading.Event,
    ) -> None:
        self._queue = queue
        self._job_id = job.job_id
        self._worker = worker
        self._lease_s = lease_s
        self._stop = stop
        self._over = threading.Event()
        self._lost: LeaseLost | None = None
        self._progress = ""
        self._heartbeat = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._heartbeat.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._heartbeat.join()

    def tell(self, progress: str) -> None:
        """Say what is being done now.

        Raises
        ------
        LeaseLost, Cancelled, Stopped
            When there is no sense in going on.
        """
        if self._stop.is_set():
            raise Stopped
        if self._lost is not None:
            raise self._lost
        if progress == self._progress:
            return
        self._progress = progress
        try:
            self._renew()
        except Unavailable as error:
            # The heartbeat tells it later; whether the job is still ours, `confirm` finds out.
            log.warning("lease cannot be renewed now", job=self._job_id, why=str(error))

    def confirm(self) -> None:
        """Make sure that the job is ours for another lease, before what must not be done twice.

        From then on nobody can cancel it.

        Raises
        ------
        LeaseLost, Stopped
            When there is no sense in going on.
        Unavailable
            While it cannot be known.
        """
        self.tell(self._progress)
        self._ask(lambda: self._queue.commit(self._job_id, self._worker, self._lease_s))

    def _renew(self) -> None:
        self._ask(
            lambda: self._queue.renew(self._job_id, self._worker, self._lease_s, self._progress)
        )

    def _ask(self, keep: Callable[[], None]) -> None:
        try:
            keep()
        except (Conflict, NotFound) as error:
            self._lost = self._loss(str(error))
            raise self._lost from error

    def _loss(self, why: str) -> LeaseLost:
        try:
            cancelled = self._queue.get(self._job_id).state is JobState.CANCELLED
        except (NotFound, Unavailable):
            cancelled = False
        return Cancelled(why) if cancelled else LeaseLost(why)

    def _look(self) -> None:
        """Raise `Cancelled` when somebody has cancelled the job since it was renewed."""
        job = self._queue.get(self._job_id)
        if job.state is JobState.CANCELLED:
            self._lost = Cancelled(f"job {self._job_id} is cancelled")
            raise self._lost

    def _beat(self) -> None:
        renew_every_s = self._lease_s / _RENEWALS_PER_LEASE
        renewed_s = time.monotonic()
        while not self._over.wait(min(renew_every_s, _LOOK_EVERY_S)):
            try:
                if time.monotonic() - renewed_s < renew_every_s:
                    self._look()
                    continue
                renewed_s = time.monotonic()
                self._renew()
            except (LeaseLost, NotFound):
                return
            except Unavailable as error:
                log.warning("lease cannot be renewed now", job=self._job_id, why=str(error))
