"""What started trainings by itself, over HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from faultline.errors import NotFound
from faultline.ports.jobs import JobQueue, JobState, TrainingJob
from faultline.ports.triggers import Suppressed, Trigger, TriggerKind, TriggerLog
from faultline.readings import format_timestamp
from faultline.web import problems


class TriggerAnswer(BaseModel):
    """An occasion to train, and what became of it."""

    machine_type: str = Field(examples=["pump"])
    trigger: TriggerKind
    trigger_detail: str = Field(
        description="What it was.",
        examples=["schedule every 6h (UTC), due 2026-11-21T06:00:00.000Z"],
    )
    since: str = Field(description="When it came up.", examples=["2026-11-21T06:00:00.000Z"])
    decided_at: str = Field(examples=["2026-11-21T06:00:02.113Z"])
    job_id: str | None = Field(description="The training that it started; null for none.")
    suppressed: Suppressed | None = Field(
        description="Why it started none: there are no readings (`no_readings`), a training of the "
        "type was waiting or running (`busy`), one that succeeded was queued after it came up "
        "(`trained_since`), or the last one was started by itself too short a time ago "
        "(`cooldown`), or a version of the type gathers live readings (`challenger_waiting`)."
    )
    job_state: JobState | None = Field(
        description="How that training stands; the last three are final. Null where it started "
        "none, or it is no longer stored."
    )
    model_version: str | None = Field(description="The version that it registered.", examples=["3"])
    unchanged: bool | None = Field(
        description="Whether that was there already, because there was nothing new to learn."
    )
    promoted: bool | None = Field(description="Whether it has put that into Production.")
    outcome: str | None = Field(
        description="What came of it, in words: what the gate says of the version, or why the "
        "training failed."
    )
    attempt: int = Field(
        description="1 the first time that the occasion was looked at. What was put off is looked "
        "at again, the newest of a type and kind: drift after `busy` and `cooldown`, a schedule "
        "after `challenger_waiting`, new data always.",
        examples=[1],
    )


class TriggersAnswer(BaseModel):
    """Occasions to train, the one decided last first."""

    triggers: list[TriggerAnswer]


def trigger_routes(triggers: TriggerLog, queue: JobQueue, prefix: str) -> APIRouter:
    """Routes for triggers."""
    router = APIRouter(prefix=prefix, tags=["training"])

    @router.get(
        "/triggers",
        responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    def list_triggers(
        machine_type: Annotated[str | None, Query(description="Only its.")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000, description="At most so many.")] = 50,
    ) -> TriggersAnswer:
        """List what started trainings by itself, or would have, newest first; what came of each."""
        found = triggers.list(machine_type, limit)
        return TriggersAnswer(triggers=[_answer(one, _job(queue, one.job_id)) for one in found])

    return router


def _job(queue: JobQueue, job_id: str | None) -> TrainingJob | None:
    if job_id is None:
        return None
    try:
        return queue.get(job_id)
    except NotFound:
        return None


def _answer(trigger: Trigger, job: TrainingJob | None) -> TriggerAnswer:
    occasion = trigger.occasion
    return TriggerAnswer(
        machine_type=occasion.machine_type,
        trigger=occasion.kind,
        trigger_detail=occasion.detail,
        since=format_timestamp(occasion.since_ms),
        decided_at=format_timestamp(trigger.at_ms),
        job_id=trigger.job_id,
        suppressed=trigger.suppressed,
        job_state=None if job is None else job.state,
        model_version=None if job is None else job.model_version,
        unchanged=None if job is None else job.unchanged,
        promoted=None if job is None else job.promoted,
        outcome=None if job is None else job.decision or job.error,
        attempt=trigger.attempt,
    )
