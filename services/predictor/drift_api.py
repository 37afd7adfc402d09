"""`GET /api/v1/model/drift`: the latest look at each machine type, over all replicas; `/events`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from faultline.drift import DriftEvent, DriftKind, Finding, described
from faultline.errors import NotFound
from faultline.events import model_name
from faultline.ports.drift import DriftLog
from faultline.readings import format_timestamp
from faultline.web import problems
from services.predictor.drift_onset import excess
from services.predictor.drift_watched import Look
from services.predictor.slot import Loaded, ModelSlot


class FindingAnswer(BaseModel):
    """One comparison with the reference."""

    kind: DriftKind
    name: str = Field(
        description="The sensor; for the others `mix`, `distribution` or `level`.",
        examples=["pressure"],
    )
    statistic: float
    threshold: float = Field(description="From where on it is drift.")
    excess: float = Field(description="The statistic over its threshold.")
    p_value: float | None = Field(
        description="How probable at least such a distance is without drift, corrected for the "
        "number of comparisons. 1 while there are too few independent readings."
    )
    drifting: bool
    before: str = Field(description="In training.")
    after: str


class DriftAnswer(BaseModel):
    """One machine type."""

    machine_type: str
    model: str
    version: str
    has_reference: bool = Field(
        description="Whether the version says what its training looked like; nothing is compared "
        "otherwise."
    )
    looked_at: str | None = Field(description="Null until it has been looked at.")
    start: str | None = Field(description="Time of the first reading compared.")
    end: str | None = Field(description="Time of the last.")
    readings: int = Field(description="How many were compared.")
    machines: int = Field(description="Of how many machines, over all replicas.")
    drifting: bool
    findings: list[FindingAnswer] = Field(description="The farthest over its threshold first.")


class EventAnswer(BaseModel):
    """Drift that began."""

    event_id: str
    machine_type: str
    model: str
    version: str = Field(description="What the readings were compared with.")
    at: str = Field(description="When it was found.")
    start: str = Field(description="Time of the first reading compared.")
    end: str = Field(description="Time of the last.")
    readings: int
    machines: int
    summary: str = Field(description="What drifted and by how much, in a sentence.")
    findings: list[FindingAnswer] = Field(description="The farthest over its threshold first.")


class Events(BaseModel):
    """Drift that began, the newest first."""

    events: list[EventAnswer]


class Drift(BaseModel):
    """All machine types, by name."""

    drift: list[DriftAnswer]


def drift_routes(
    slot: ModelSlot, looks: Callable[[], Mapping[str, Look]], log: DriftLog
) -> APIRouter:
    """The routes.

    Parameters
    ----------
    looks
        The latest look at each machine type.
    log
        What drifted, as all replicas found it.
    """
    router = APIRouter(prefix="/api/v1")

    @router.get(
        "/model/drift",
        tags=["models"],
        responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    def drift(
        machine_type: Annotated[
            str | None,
            Query(description="Only this one.", examples=["pump"], pattern="^[a-z0-9_-]{1,63}$"),
        ] = None,
    ) -> Drift:
        """Compare what all replicas have seen lately with what each version was trained on."""
        loaded = slot.loaded()
        if machine_type is not None and machine_type not in loaded:
            raise NotFound(f"no model of the machine type {machine_type!r} is loaded")
        kinds = sorted(loaded) if machine_type is None else [machine_type]
        seen = looks()
        return Drift(drift=[_answer(kind, loaded[kind], seen.get(kind)) for kind in kinds])

    @router.get(
        "/model/drift/events",
        tags=["models"],
        responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    def events(
        machine_type: Annotated[
            str | None,
            Query(description="Only this one.", examples=["pump"], pattern="^[a-z0-9_-]{1,63}$"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000, description="At most so many.")] = 100,
    ) -> Events:
        """Drift that began, as all replicas found it and the recorder stored it."""
        return Events(events=[event_answer(event) for event in log.list(machine_type, limit)])

    return router


def _answer(kind: str, loaded: Loaded, look: Look | None) -> DriftAnswer:
    model = loaded.model
    if look is not None and look.model is not model:
        look = None
    return DriftAnswer(
        machine_type=kind,
        model=model_name(kind),
        version=model.version,
        has_reference=model.reference is not None,
        looked_at=_time(None if look is None else look.at_ms),
        start=_time(None if look is None else look.start_ms),
        end=_time(None if look is None else look.end_ms),
        readings=0 if look is None else look.readings,
        machines=0 if look is None else look.machines,
        drifting=look is not None and bool(look.drifting),
        findings=[]
        if look is None
        else [_finding(one, drifting=one in look.drifting) for one in look.findings],
    )


def _finding(found: Finding, *, drifting: bool) -> FindingAnswer:
    return FindingAnswer(
        kind=found.kind,
        name=found.name,
        statistic=found.statistic,
        threshold=found.threshold,
        excess=excess(found),
        p_value=found.p_value,
        drifting=drifting,
        before=found.before,
        after=found.after,
    )


def event_answer(event: DriftEvent) -> EventAnswer:
    """Drift that began, as it is answered."""
    return EventAnswer(
        event_id=event.event_id,
        machine_type=event.machine_type,
        model=event.model_name,
        version=event.model_version,
        at=format_timestamp(event.at_ms),
        start=format_timestamp(event.start_ms),
        end=format_timestamp(event.end_ms),
        readings=event.readings,
        machines=event.machines,
        summary=described(event),
        findings=[_finding(one, drifting=True) for one in event.findings],
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_timestamp(at_ms)
