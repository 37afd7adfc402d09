"""Training jobs in a table: claimed under a lease, by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from faultline.adapters.postgres.columns import EpochMs
from faultline.adapters.postgres.schema import machines, training_jobs
from faultline.errors import Conflict, NotFound
from faultline.ports.jobs import (
    JobResult,
    JobState,
    TrainingJob,
    TrainingRequest,
    require_cancellable,
    require_the_same,
)

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_LOCK = 7_215_003
_jobs = training_jobs.c
# Not now(), which stands still at the beginning of a transaction that may have waited.
_NOW: ColumnElement[int] = func.clock_timestamp(type_=EpochMs())


class PostgresJobQueue:
    """`JobQueue` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def submit(self, request: TrainingRequest) -> TrainingJob:
        """Queue a job, or return that under the request's key; see the port."""
        if request.idempotency_key is None:
            with self._database.transaction() as connection:
                return submit(connection, request)
        with self._one_at_a_time() as connection:
            return _known(connection, request) or submit(connection, request)

    def known(self, request: TrainingRequest) -> TrainingJob | None:
        """The job under the request's key; see the port."""
        with self._database.transaction() as connection:
            return _known(connection, request)

    def get(self, job_id: str) -> TrainingJob:
        """One job; see the port."""
        with self._database.transaction() as connection:
            return _job(_found(connection, job_id))

    def list(self, state: JobState | None = None, limit: int = 50) -> Sequence[TrainingJob]:
        """Jobs, newest first."""
        query = select(training_jobs).order_by(_jobs.position.desc()).limit(limit)
        if state is not None:
            query = query.where(_jobs.state == state.value)
        with self._database.transaction() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def claim(self, worker: str, lease_s: float) -> TrainingJob | None:
        """Take the next job; see the port."""
        other = training_jobs.alias("other")
        type_is_busy = exists().where(
            # Of a cancelled one too, until its worker has noticed.
            other.c.machine_type == _jobs.machine_type,
            other.c.lease_until > _NOW,
        )
        lease_ran_out = and_(_jobs.state == JobState.RUNNING.value, _jobs.lease_until <= _NOW)
        # Skipping what is locked: someone who looks at a row by hand holds up no worker.
        next_job = (
            select(_jobs.job_id)
            .where(or_(_jobs.state == JobState.QUEUED.value, lease_ran_out), ~type_is_busy)
            .order_by(_jobs.position)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._one_at_a_time() as connection:
            job_id = connection.scalar(next_job)
            if job_id is None:
                return None
            return _change(
                connection,
                job_id,
                state=JobState.RUNNING.value,
                worker=worker,
                lease_until=_in_seconds(lease_s),
                attempts=_jobs.attempts + 1,
                progress="",
            )

    def renew(self, job_id: str, worker: str, lease_s: float, progress: str) -> None:
        """Keep the lease; see the port."""
        with self._one_at_a_time() as connection:
            _require_ours(_found(connection, job_id), worker)
            _change(connection, job_id, lease_until=_in_seconds(lease_s), progress=progress)

    def commit(self, job_id: str, worker: str, lease_s: float) -> None:
        """Keep the lease and the job; see the port."""
        with self._one_at_a_time() as connection:
            _require_ours(_found(connection, job_id), worker)
            _change(connection, job_id, lease_until=_in_seconds(lease_s), committed=True)

    def succeed(self, job_id: str, worker: str, result: JobResult) -> None:
        """Finish; see the port. The same again changes nothing."""
        self._finish(
            job_id,
            worker,
            JobState.SUCCEEDED,
            {
                "model_name": result.model_name,
                "model_version": result.model_version,
                "run_id": result.run_id,
                "promoted": result.promoted,
                "decision": result.decision,
                "unchanged": result.unchanged,
            },
        )

    def fail(self, job_id: str, worker: str, error: str) -> None:
        """Finish with a reason; see the port. The same again changes nothing."""
        self._finish(job_id, worker, JobState.FAILED, {"error": error})

    def release(self, job_id: str, worker: str) -> None:
        """Give a job back; see the port."""
        with self._one_at_a_time() as connection:
            row = _found(connection, job_id)
            if (row["state"], row["worker"]) == (JobState.CANCELLED, worker):
                _change(connection, job_id, lease_until=None)
                return
            _require_ours(row, worker)
            _change(
                connection,
                job_id,
                state=JobState.QUEUED.value,
                worker=None,
                lease_until=None,
                attempts=_jobs.attempts - 1,
                progress="",
            )

    def cancel(self, job_id: str) -> TrainingJob:
        """Cancel a job; see the port."""
        with self._one_at_a_time() as connection:
            row = _found(connection, job_id)
            require_cancellable(_job(row), row["committed"])
            return _change(connection, job_id, state=JobState.CANCELLED.value)

    def _finish(
        self, job_id: str, worker: str, state: JobState, outcome: Mapping[str, Any]
    ) -> None:
        with self._one_at_a_time() as connection:
            row = _found(connection, job_id)
            # The answer to the first time may have been lost on the way.
            if (row["state"], row["worker"]) == (state, worker) and all(
                row[name] == value for name, value in outcome.items()
            ):
                return
            _require_ours(row, worker)
            of_type = machines.c.machine_type == row["machine_type"]
            _change(
                connection,
                job_id,
                state=state.value,
                lease_until=None,
                readings_then=select(func.coalesce(func.sum(machines.c.readings), 0))
                .where(of_type)
                .scalar_subquery(),
                **outcome,
            )

    @contextmanager
    def _one_at_a_time(self) -> Iterator[Connection]:
        """Let no other change of a job come between looking and writing.

        Locking the row is not enough: whether a job may run depends on others of its type.
        """
        with self._database.transaction() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection


def submit(connection: Connection, request: TrainingRequest) -> TrainingJob:
    """Queue a job in the transaction of the connection."""
    statement = insert(training_jobs).values(
        job_id=str(uuid4()),
        machine_type=request.machine_type,
        request=request,
        idempotency_key=request.idempotency_key,
        state=JobState.QUEUED.value,
        created_at=_NOW,
        updated_at=_NOW,
    )
    return _one(connection, statement)


def _in_seconds(lease_s: float) -> ColumnElement[Any]:
    return _NOW + func.make_interval(0, 0, 0, 0, 0, 0, literal(float(lease_s)))


def _known(connection: Connection, request: TrainingRequest) -> TrainingJob | None:
    if request.idempotency_key is None:
        return None
    query = select(training_jobs).where(
        _jobs.idempotency_key == request.idempotency_key,
        _jobs.state.not_in([JobState.FAILED.value, JobState.CANCELLED.value]),
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    known = _job(row)
    require_the_same(known, request)
    return known


def _found(connection: Connection, job_id: str) -> Mapping[Any, Any]:
    query = select(training_jobs).where(_jobs.job_id == job_id)
    # PostgreSQL's text cannot hold NUL, and the driver refuses to ask for it.
    row = None if "\0" in job_id else connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id!r}")
    return row


def _require_ours(row: Mapping[Any, Any], worker: str) -> None:
    if row["state"] != JobState.RUNNING or row["worker"] != worker:
        raise Conflict(
            f"job {row['job_id']} is not {worker}'s any more: it is {row['state']}"
            + (f", taken by {row['worker']}" if row["worker"] else "")
        )


def _change(connection: Connection, job_id: str, **values: Any) -> TrainingJob:
    statement = update(training_jobs).where(_jobs.job_id == job_id)
    return _one(connection, statement.values(updated_at=_NOW, **values))


def _one(connection: Connection, statement: Any) -> TrainingJob:
    row = connection.execute(statement.returning(training_jobs)).mappings().one()
    return _job(row)


def _job(row: Mapping[Any, Any]) -> TrainingJob:
    return TrainingJob(
        job_id=row["job_id"],
        request=row["request"],
        state=JobState(row["state"]),
        created_at_ms=row["created_at"],
        updated_at_ms=row["updated_at"],
        progress=row["progress"],
        attempts=row["attempts"],
        error=row["error"],
        model_name=row["model_name"],
        model_version=row["model_version"],
        run_id=row["run_id"],
        promoted=row["promoted"],
        decision=row["decision"],
        unchanged=row["unchanged"],
    )
