"""Training jobs in memory, claimed under a lease by the clock that is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from msgspec import structs

from faultline.adapters.memory.tables import JobRow, Tables
from faultline.errors import Conflict, NotFound
from faultline.ports.clock import Clock
from faultline.ports.jobs import (
    JobResult,
    JobState,
    TrainingJob,
    TrainingRequest,
    require_cancellable,
    require_the_same,
)


class MemoryJobQueue:
    """`JobQueue` in memory."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def submit(self, request: TrainingRequest) -> TrainingJob:
        """Queue a job, or return that under the request's key; see the port."""
        now_ms = self._clock.now_ms()
        job = TrainingJob(
            job_id=str(uuid4()),
            request=request,
            state=JobState.QUEUED,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        with self._tables.lock:
            known = self.known(request)
            if known is not None:
                return known
            self._tables.jobs[job.job_id] = JobRow(job)
        return job

    def known(self, request: TrainingRequest) -> TrainingJob | None:
        """The job under the request's key; see the port."""
        with self._tables.lock:
            known = self._under(request.idempotency_key)
        if known is not None:
            require_the_same(known, request)
        return known

    def get(self, job_id: str) -> TrainingJob:
        """One job; see the port."""
        with self._tables.lock:
            return self._found(job_id).job

    def list(self, state: JobState | None = None, limit: int = 50) -> Sequence[TrainingJob]:
        """Jobs, newest first."""
        with self._tables.lock:
            newest_first = [row.job for row in reversed(self._tables.jobs.values())]
        return list(islice((job for job in newest_first if state in (None, job.state)), limit))

    def claim(self, worker: str, lease_s: float) -> TrainingJob | None:
        """Take the next job; see the port."""
        with self._tables.lock:
            for row in self._tables.jobs.values():
                if self._can_run(row):
                    row.worker = worker
                    row.lease_until_ms = self._in_seconds(lease_s)
                    return self._change(
                        row, state=JobState.RUNNING, attempts=row.job.attempts + 1, progress=""
                    )
        return None

    def renew(self, job_id: str, worker: str, lease_s: float, progress: str) -> None:
        """Keep the lease; see the port."""
        with self._tables.lock:
            row = self._ours(job_id, worker)
            row.lease_until_ms = self._in_seconds(lease_s)
            self._change(row, progress=progress)

    def commit(self, job_id: str, worker: str, lease_s: float) -> None:
        """Keep the lease and the job; see the port."""
        with self._tables.lock:
            row = self._ours(job_id, worker)
            row.lease_until_ms = self._in_seconds(lease_s)
            row.committed = True

    def succeed(self, job_id: str, worker: str, result: JobResult) -> None:
        """Finish; see the port. The same again changes nothing."""
        self._finish(job_id, worker, JobState.SUCCEEDED, structs.asdict(result))

    def fail(self, job_id: str, worker: str, error: str) -> None:
        """Finish with a reason; see the port. The same again changes nothing."""
        self._finish(job_id, worker, JobState.FAILED, {"error": error})

    def release(self, job_id: str, worker: str) -> None:
        """Give a job back; see the port."""
        with self._tables.lock:
            row = self._found(job_id)
            if row.job.state is JobState.CANCELLED and row.worker == worker:
                row.lease_until_ms = 0
                return
            row = self._ours(job_id, worker)
            row.worker = None
            row.lease_until_ms = 0
            self._change(row, state=JobState.QUEUED, attempts=row.job.attempts - 1, progress="")

    def cancel(self, job_id: str) -> TrainingJob:
        """Cancel a job; see the port."""
        with self._tables.lock:
            row = self._found(job_id)
            require_cancellable(row.job, row.committed)
            return self._change(row, state=JobState.CANCELLED)

    def _under(self, key: str | None) -> TrainingJob | None:
        if key is None:
            return None
        jobs = (row.job for row in self._tables.jobs.values())
        let_go = {JobState.FAILED, JobState.CANCELLED}
        return next(
            (job for job in jobs if job.request.idempotency_key == key and job.state not in let_go),
            None,
        )

    def _finish(self, job_id: str, worker: str, state: JobState, outcome: dict[str, Any]) -> None:
        with self._tables.lock:
            row = self._found(job_id)
            # The answer to the first time may have been lost on the way.
            if (
                row.job.state is state
                and row.worker == worker
                and structs.replace(row.job, **outcome) == row.job
            ):
                return
            self._change(self._ours(job_id, worker), state=state, **outcome)
            row.lease_until_ms = 0
            row.readings_then = self._tables.readings_by_type()[row.job.request.machine_type]

    def _can_run(self, row: JobRow) -> bool:
        waiting = row.job.state in {JobState.QUEUED, JobState.RUNNING}
        machine_type = row.job.request.machine_type
        return waiting and not any(
            self._is_live(other)
            for other in self._tables.jobs.values()
            if other.job.request.machine_type == machine_type
        )

    def _is_live(self, row: JobRow) -> bool:
        return row.lease_until_ms > self._clock.now_ms()

    def _in_seconds(self, lease_s: float) -> int:
        return self._clock.now_ms() + round(lease_s * 1000)

    def _found(self, job_id: str) -> JobRow:
        try:
            return self._tables.jobs[job_id]
        except KeyError:
            raise NotFound(f"there is no job {job_id!r}") from None

    def _ours(self, job_id: str, worker: str) -> JobRow:
        row = self._found(job_id)
        if row.job.state is not JobState.RUNNING or row.worker != worker:
            raise Conflict(
                f"job {job_id} is not {worker}'s any more: it is {row.job.state}"
                + (f", taken by {row.worker}" if row.worker else "")
            )
        return row

    def _change(self, row: JobRow, **changes: Any) -> TrainingJob:
        row.job = structs.replace(row.job, updated_at_ms=self._clock.now_ms(), **changes)
        return row.job
