"""What the trainer answers. Times are RFC 3339."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from faultline.events import machine_type_of
from faultline.ports.jobs import JobState, TrainingJob
from faultline.ports.promotions import Promotion, PromotionKind
from faultline.ports.registry import ModelVersion, Stage
from faultline.readings import format_timestamp
from services.trainer.promotion import Move
from services.trainer.record import GATE_REASON_TAG, GATE_TAG


class JobAnswer(BaseModel):
    """A training job."""

    job_id: str = Field(examples=["5b0f7c62-4f5e-4a39-8f0e-0d6f9b1f3a11"])
    machine_type: str = Field(examples=["pump"])
    state: JobState = Field(description="The last three are final.")
    progress: str = Field(description="What is being done now, in words.")
    error: str | None = Field(description="Why it failed.")
    attempts: int = Field(description="How often a worker has begun it.")
    requested_by: str = Field(
        description="Who asked for it; `trainer` where it was started by itself."
    )
    trigger: str = Field(
        description="What made them ask: `by hand`, `schedule`, `drift` or `new data`."
    )
    trigger_detail: str = Field(
        description="What exactly: which time, what drifted, how much new data."
    )
    promotion: str = Field(description="`auto` or `hold`, as asked for.")
    created_at: str = Field(examples=["2026-11-21T08:00:00.000Z"])
    updated_at: str = Field(examples=["2026-11-21T08:00:07.000Z"])
    repeat: bool = Field(description="As asked for.")
    model_name: str | None = Field(
        description="Of the registered version.", examples=["faultline-pump"]
    )
    model_version: str | None = Field(description="Its number.", examples=["3"])
    run_id: str | None = Field(description="Its run in MLflow.")
    promoted: bool | None = Field(description="Whether the job has put it into Production.")
    decision: str | None = Field(description="What the gate says, in a sentence.")
    unchanged: bool | None = Field(
        description="Whether the version was there already, of the same rows, settings and code: "
        "none was registered."
    )


class Jobs(BaseModel):
    """Training jobs, newest first."""

    jobs: list[JobAnswer]


class VersionAnswer(BaseModel):
    """A registered version."""

    model_name: str = Field(examples=["faultline-pump"])
    version: str = Field(examples=["3"])
    stage: Stage
    aliases: list[str] = Field(description="`production` is the truth; the stage mirrors it.")
    silhouette: float | None = Field(
        description="Of its clusters; null when it is undefined, for there is one.",
        examples=[0.62],
    )
    k: int | None = Field(description="Number of clusters.", examples=[3])
    gate: str | None = Field(description="`passed` or `refused`; null when nobody has judged it.")
    gate_reason: str | None
    run_id: str = Field(description="Its run in MLflow.")
    created_at: str = Field(examples=["2026-11-21T08:00:06.000Z"])
    description: str
    tags: dict[str, str]
    verdicts: int | None = Field(
        None, description="How many stored verdicts it has made; null when not asked for."
    )


class Versions(BaseModel):
    """The versions of a model, newest first."""

    versions: list[VersionAnswer]


class ModelAnswer(BaseModel):
    """A registered model."""

    model_name: str = Field(examples=["faultline-pump"])
    machine_type: str = Field(examples=["pump"])
    versions: int = Field(description="How many there are.")
    latest: str | None = Field(description="The newest version.", examples=["3"])
    production: str | None = Field(description="The version in Production.", examples=["2"])
    staging: str | None = Field(description="The challenger.", examples=["3"])


class Models(BaseModel):
    """The registered models, by name."""

    models: list[ModelAnswer]


class MoveAnswer(BaseModel):
    """What moving a version came to."""

    model_name: str = Field(examples=["faultline-pump"])
    version: str = Field(examples=["3"])
    stage: Stage
    previous_version: str | None = Field(
        description="The version that was in Production before, and is archived.", examples=["2"]
    )
    promotion_id: str | None = Field(description="Of the change of Production in the history.")
    changed: bool = Field(
        description="False when it was there already: then nothing was done, and neither who asked "
        "nor the reason is in the history."
    )
    since: str | None = Field(
        description="When the version came into Production; null at another stage.",
        examples=["2026-11-21T08:00:07.000Z"],
    )


class PromotionAnswer(BaseModel):
    """A change of Production."""

    promotion_id: str
    version: str | None = Field(
        description="Which came into Production; null when none did.", examples=["3"]
    )
    previous_version: str | None = Field(examples=["2"])
    at: str = Field(examples=["2026-11-21T08:00:07.000Z"])
    actor: str = Field(
        description="Who did it: `gate`, who asked, or `external`: another client of MLflow."
    )
    reason: str = Field(
        description="Why. Of what the gate did by itself, only that; its own words are in "
        "`gate_reason`, and check by check at `.../versions/{version}/gate`.",
        examples=["the gate passed"],
    )
    kind: PromotionKind
    forced: bool = Field(description="Whether the gate was overridden.")
    gate: str | None = Field(
        description="What the gate said of the version then; null when none had judged it."
    )
    gate_reason: str | None


class History(BaseModel):
    """The changes of a model's Production, newest first."""

    model_name: str = Field(examples=["faultline-pump"])
    at: str | None = Field(description="The time that was asked about.")
    live: PromotionAnswer | None = Field(
        description="The change by which a version was in Production at that time, or is now; "
        "null when none was."
    )
    promotions: list[PromotionAnswer]


def job_answer(job: TrainingJob) -> JobAnswer:
    """A job as callers see it."""
    return JobAnswer(
        job_id=job.job_id,
        machine_type=job.request.machine_type,
        state=job.state,
        progress=job.progress,
        error=job.error,
        attempts=job.attempts,
        requested_by=job.request.requested_by,
        trigger=job.request.trigger,
        trigger_detail=job.request.trigger_detail,
        promotion=job.request.promotion,
        repeat=job.request.repeat,
        created_at=format_timestamp(job.created_at_ms),
        updated_at=format_timestamp(job.updated_at_ms),
        model_name=job.model_name,
        model_version=job.model_version,
        run_id=job.run_id,
        promoted=job.promoted,
        decision=job.decision,
        unchanged=job.unchanged,
    )


def version_answer(version: ModelVersion, verdicts: int | None = None) -> VersionAnswer:
    """A version as callers see it."""
    return VersionAnswer(
        model_name=version.name,
        version=version.version,
        stage=version.stage,
        aliases=sorted(version.aliases),
        silhouette=_number(version.tags.get("silhouette")),
        k=None if (k := _number(version.tags.get("k"))) is None else int(k),
        gate=version.tags.get(GATE_TAG),
        gate_reason=version.tags.get(GATE_REASON_TAG),
        run_id=version.run_id,
        created_at=format_timestamp(version.created_at_ms),
        description=version.description,
        tags=dict(version.tags),
        verdicts=verdicts,
    )


def model_answer(name: str, versions: Sequence[ModelVersion]) -> ModelAnswer:
    """A model as callers see it."""

    def behind(alias: str) -> str | None:
        return next((one.version for one in versions if alias in one.aliases), None)

    return ModelAnswer(
        model_name=name,
        machine_type=machine_type_of(name),
        versions=len(versions),
        latest=versions[0].version if versions else None,
        production=behind("production"),
        staging=behind("staging"),
    )


def move_answer(move: Move) -> MoveAnswer:
    """A move as callers see it."""
    return MoveAnswer(
        model_name=move.version.name,
        version=move.version.version,
        stage=move.version.stage,
        previous_version=move.previous_version,
        promotion_id=move.promotion_id,
        changed=move.changed,
        since=None if move.since_ms is None else format_timestamp(move.since_ms),
    )


def promotion_answer(promotion: Promotion) -> PromotionAnswer:
    """A change of Production as callers see it."""
    return PromotionAnswer(
        promotion_id=promotion.promotion_id,
        version=promotion.to_version,
        previous_version=promotion.from_version,
        at=format_timestamp(promotion.at_ms),
        actor=promotion.actor,
        reason=_without(promotion.reason, promotion.gate_reason),
        kind=promotion.kind,
        forced=promotion.forced,
        gate=promotion.gate,
        gate_reason=promotion.gate_reason,
    )


def _without(reason: str, gate_reason: str | None) -> str:
    """A reason that does not say again what the gate has said."""
    return reason.removesuffix(f": {gate_reason}") if gate_reason else reason


def _number(text: str | None) -> float | None:
    """A number from a tag, which anyone may have edited."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
