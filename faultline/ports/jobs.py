"""Training jobs: a queue that survives restarts and never gives one job to two workers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol

import msgspec
from msgspec import structs

from faultline.errors import Conflict, KeyReused


class JobState(StrEnum):
    """Where a job is. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDED = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "been cancelled",
}


class Period(msgspec.Struct, frozen=True):
    """A span of time, start included, end excluded, milliseconds since the epoch."""

    start_ms: int
    end_ms: int


class TrainingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to train on, and how.

    Attributes
    ----------
    start_ms, end_ms
        Time range of the history, end excluded; None is open.
    machines, sensors
        Which to use; None is all of the type.
    excluded
        Periods that are left out.
    dataset_version
        Train on the rows of an earlier version again: its number, or the begin of its data version.
        All of the above is then left open. None: on the history as it is now.
    hyperparameters
        Passed to the detector's fit (see `faultline.detector.fit.FitConfig`).
    promotion
        ``auto``: the gate promotes when it passes. ``hold``: the version stays in Staging.
    repeat
        Make a version also of rows, with settings and by code, that there is one of already.
    idempotency_key
        By which whoever asks knows the request again; no part of what is wanted.
    trigger
        What made somebody ask, in words.
    trigger_detail
        What exactly: which time of which schedule, what drifted, how much new data.
    traceparent
        The trace that it was asked for in, as W3C Trace Context has it; no part of what is wanted.
    """

    machine_type: str
    start_ms: int | None = None
    end_ms: int | None = None
    machines: tuple[str, ...] | None = None
    sensors: tuple[str, ...] | None = None
    excluded: tuple[Period, ...] = ()
    dataset_version: str | None = None
    hyperparameters: dict[str, Any] = {}
    promotion: Literal["auto", "hold"] = "auto"
    repeat: bool = False
    idempotency_key: str | None = None
    requested_by: str = "api"
    trigger: str = "by hand"
    trigger_detail: str = ""
    traceparent: str | None = None


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands.

    Attributes
    ----------
    progress
        What is being done now, in words.
    error
        Why it failed, for a person.
    attempts
        How often a worker has claimed it and not given it back.
    model_version, run_id, promoted, decision
        What came of it: the registered version, its run, whether it is now in Production, and the
        gate's reason.
    unchanged
        Whether that version was there already, of the same rows, settings and code.
    """

    job_id: str
    request: TrainingRequest
    state: JobState
    created_at_ms: int
    updated_at_ms: int
    progress: str = ""
    attempts: int = 0
    error: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    run_id: str | None = None
    promoted: bool | None = None
    decision: str | None = None
    unchanged: bool | None = None


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a job that succeeded leaves in its row."""

    model_name: str
    model_version: str
    run_id: str
    promoted: bool
    decision: str
    unchanged: bool = False


class JobQueue(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def submit(self, request: TrainingRequest) -> TrainingJob:
        """Queue a job, unless one was queued under the request's key before: then return that.

        One that failed or was cancelled lets go of its key. Raises `KeyReused` when the job under
        the key was to do something else.
        """

    def known(self, request: TrainingRequest) -> TrainingJob | None:
        """The job that `submit` would return without queueing one; None when it would queue one.

        Raises `KeyReused` as `submit` does.
        """

    def get(self, job_id: str) -> TrainingJob:
        """One job. Raises `NotFound`."""

    def list(self, state: JobState | None = None, limit: int = 50) -> Sequence[TrainingJob]:
        """Jobs, newest first."""

    def claim(self, worker: str, lease_s: float) -> TrainingJob | None:
        """Take the oldest queued job, or a running one whose worker let its lease run out.

        Never the same job to two workers, and never a second job of a machine type while one of
        that type is under a live lease.
        """

    def renew(self, job_id: str, worker: str, lease_s: float, progress: str) -> None:
        """Keep the lease and say what is being done. Raises `Conflict` when it is not ours."""

    def commit(self, job_id: str, worker: str, lease_s: float) -> None:
        """Keep the lease, and let nobody cancel the job from now on.

        Raises `Conflict` when it is not ours any more.
        """

    def succeed(self, job_id: str, worker: str, result: JobResult) -> None:
        """Finish. Raises `Conflict` when it is not ours any more."""

    def fail(self, job_id: str, worker: str, error: str) -> None:
        """Finish with a reason. Raises `Conflict` when it is not ours any more."""

    def release(self, job_id: str, worker: str) -> None:
        """Give a job back unharmed: queued again, and this claim does not count as an attempt.

        Of a job of ours that was cancelled only the lease ends. Raises `Conflict` when it is not
        ours any more.
        """

    def cancel(self, job_id: str) -> TrainingJob:
        """Cancel a job that is queued, or running and not committed.

        Its worker can neither renew nor commit it then; until it has noticed, or the lease has run
        out, no other of the type is claimed. Raises `NotFound`, or `Conflict` when it is past that.
        """


def require_the_same(job: TrainingJob, request: TrainingRequest) -> None:
    """Raise `KeyReused` when the job under a request's key was to do something else."""
    own = {"idempotency_key": None, "traceparent": None}
    if structs.replace(job.request, **own) != structs.replace(request, **own):
        raise KeyReused(
            f"the idempotency key {request.idempotency_key!r} is that of job {job.job_id}, which "
            "was asked for something else; send another key with another request"
        )


def require_cancellable(job: TrainingJob, committed: bool) -> None:
    """Raise `Conflict` when a job is past being cancelled."""
    if committed and job.state in {JobState.QUEUED, JobState.RUNNING}:
        raise Conflict(
            f"job {job.job_id} is past being cancelled: its version is being registered; archive "
            "the version instead"
        )
    if job.state not in {JobState.QUEUED, JobState.RUNNING}:
        raise Conflict(f"job {job.job_id} cannot be cancelled any more: it has {_ENDED[job.state]}")
