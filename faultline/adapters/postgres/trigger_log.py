"""What starts trainings by itself: decided under a lock, in the transaction that queues the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, exists, func, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert

from faultline.adapters.postgres.job_queue import submit
from faultline.adapters.postgres.schema import (
    machines,
    training_jobs,
    training_schedules,
    training_triggers,
)
from faultline.ports.jobs import JobState, TrainingRequest
from faultline.ports.triggers import (
    Known,
    NewReadings,
    Occasion,
    Suppressed,
    Trigger,
    TriggerKind,
    is_put_off,
    is_told,
    suppression,
)

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_LOCK = 7_215_006
_triggers = training_triggers.c
_jobs = training_jobs.c
# New data is counted anew.
_KINDS_PUT_OFF = [TriggerKind.SCHEDULE.value, TriggerKind.DRIFT.value]


class PostgresTriggerLog:
    """`TriggerLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def decide(
        self,
        occasion: Occasion,
        request: TrainingRequest,
        now_ms: int,
        cooldown_ms: int,
        *,
        challenger_waits: bool = False,
    ) -> Trigger | None:
        """Queue a training, or write down why not; see the port."""
        with self._database.transaction() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = _found(connection, occasion)
            if before is not None and not is_put_off(before, _job_state(connection, before)):
                return None
            why_not = suppression(
                occasion,
                _known(connection, occasion.machine_type),
                now_ms,
                cooldown_ms,
                challenger_waits=challenger_waits,
            )
            if is_told(before, why_not):
                return None
            trigger = Trigger(
                occasion=occasion,
                at_ms=now_ms,
                job_id=None if why_not else submit(connection, request).job_id,
                suppressed=why_not,
                attempt=1 if before is None else before.attempt + 1,
            )
            _keep(connection, trigger)
            return trigger

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[Trigger]:
        """What became of occasions, newest first; see the port."""
        query = select(training_triggers)
        if machine_type is not None:
            query = query.where(_triggers.machine_type == _askable(machine_type))
        query = query.order_by(_triggers.at.desc(), _triggers.position.desc()).limit(limit)
        with self._database.transaction() as connection:
            return [_trigger(row) for row in connection.execute(query).mappings()]

    def put_off(self) -> Sequence[Trigger]:
        """What is to be decided again; see the port."""
        query = (
            select(training_triggers)
            .ext(distinct_on(_triggers.machine_type, _triggers.kind))
            .where(_triggers.kind.in_(_KINDS_PUT_OFF))
            .order_by(
                _triggers.machine_type,
                _triggers.kind,
                _triggers.since.desc(),
                _triggers.position.desc(),
            )
        )
        with self._database.transaction() as connection:
            newest = [_trigger(row) for row in connection.execute(query).mappings()]
            return [one for one in newest if is_put_off(one, _job_state(connection, one))]

    def scheduled_since(self, machine_type: str, schedule: str, now_ms: int) -> int:
        """Since when a machine type has its schedule; see the port."""
        statement = insert(training_schedules).values(
            machine_type=machine_type, schedule=schedule, since=now_ms
        )
        columns, given = training_schedules.c, statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["machine_type"],
            set_={
                "schedule": given.schedule,
                "since": case(
                    (columns.schedule == given.schedule, columns.since), else_=given.since
                ),
            },
        )
        with self._database.transaction() as connection:
            since: int = connection.execute(statement.returning(columns.since)).scalar_one()
            return since

    def new_readings(self) -> Mapping[str, NewReadings]:
        """How many readings have come, by machine type; see the port.

        From the counts that the recorder keeps of each machine: no reading is looked at.
        """
        last = (
            select(_jobs.machine_type, _jobs.job_id, _jobs.readings_then)
            .ext(distinct_on(_jobs.machine_type))
            .where(_jobs.readings_then.is_not(None))
            .order_by(_jobs.machine_type, _jobs.updated_at.desc(), _jobs.position.desc())
            .subquery()
        )
        stored = (
            select(machines.c.machine_type, func.sum(machines.c.readings).label("count"))
            .group_by(machines.c.machine_type)
            .subquery()
        )
        query = select(
            stored.c.machine_type,
            (stored.c.count - func.coalesce(last.c.readings_then, 0)).label("new"),
            last.c.job_id,
        ).select_from(stored.outerjoin(last, last.c.machine_type == stored.c.machine_type))
        with self._database.transaction() as connection:
            return {
                row.machine_type: NewReadings(max(0, int(row.new)), row.job_id)
                for row in connection.execute(query)
            }


def _found(connection: Connection, occasion: Occasion) -> Trigger | None:
    query = (
        select(training_triggers)
        .where(
            _triggers.machine_type == occasion.machine_type,
            _triggers.kind == occasion.kind.value,
            _triggers.slot == occasion.slot,
        )
        .order_by(_triggers.attempt.desc())
        .limit(1)
    )
    found = connection.execute(query).mappings().one_or_none()
    return None if found is None else _trigger(found)


def _job_state(connection: Connection, trigger: Trigger) -> JobState | None:
    """How the training that was started does; None when none was, or its job is kept no more."""
    if trigger.job_id is None:
        return None
    query = select(_jobs.state).where(_jobs.job_id == trigger.job_id)
    state = connection.execute(query).scalar_one_or_none()
    return None if state is None else JobState(state)


def _known(connection: Connection, machine_type: str) -> Known:
    of_type = _jobs.machine_type == machine_type
    row = connection.execute(
        select(
            exists().where(machines.c.machine_types.contains([machine_type])),
            exists().where(
                of_type, _jobs.state.in_([JobState.QUEUED.value, JobState.RUNNING.value])
            ),
            select(func.max(_jobs.created_at))
            .where(of_type, _jobs.state == JobState.SUCCEEDED.value)
            .scalar_subquery(),
            select(func.max(_triggers.at))
            .where(_triggers.machine_type == machine_type, _triggers.job_id.is_not(None))
            .scalar_subquery(),
        )
    ).one()
    return Known(*row)


def _keep(connection: Connection, trigger: Trigger) -> None:
    occasion = trigger.occasion
    row = {
        "machine_type": occasion.machine_type,
        "kind": occasion.kind.value,
        "slot": occasion.slot,
        "since": occasion.since_ms,
        "detail": occasion.detail,
        "at": trigger.at_ms,
        "job_id": trigger.job_id,
        "suppressed": None if trigger.suppressed is None else trigger.suppressed.value,
        "attempt": trigger.attempt,
    }
    connection.execute(insert(training_triggers).values(row))


def _trigger(row: Mapping[Any, Any]) -> Trigger:
    return Trigger(
        occasion=Occasion(
            machine_type=row["machine_type"],
            kind=TriggerKind(row["kind"]),
            slot=row["slot"],
            since_ms=row["since"],
            detail=row["detail"],
        ),
        at_ms=row["at"],
        job_id=row["job_id"],
        suppressed=None if row["suppressed"] is None else Suppressed(row["suppressed"]),
        attempt=row["attempt"],
    )


def _askable(machine_type: str) -> str:
    """The text, or one that no row has: NUL the driver refuses to ask for."""
    return "" if "\0" in machine_type else machine_type
