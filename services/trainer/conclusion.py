"""What a training has come to, by what its version says of itself, so that it can be told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from faultline.events import ModelEvent, ModelEventKind
from faultline.gate_report import Decision
from faultline.ports.jobs import JobResult, TrainingJob
from faultline.ports.registry import ModelVersion, Stage
from services.trainer import record

_NAMESPACE = UUID("b3b0a3b6-0f55-4a6d-8f0b-1d0f7d0f2f5e")
GATE = "gate"


def is_promoted(job: TrainingJob, version: ModelVersion) -> bool:
    """Whether the version of a job goes into Production as soon as it is registered."""
    return version.tags.get(record.GATE_TAG) == record.PASSED and job.request.promotion == "auto"


def first_stage(tags: Mapping[str, str]) -> Stage:
    """Where a version is registered: one that is refused takes the challenger's place from none."""
    refused = tags.get(record.GATE_TAG) == Decision.REFUSED
    return Stage.ARCHIVED if refused else Stage.STAGING


def passed_because(version: ModelVersion) -> str:
    """Why the gate has passed a version, in words."""
    return f"the gate passed: {version.tags.get(record.GATE_REASON_TAG, '')}"


def events(job: TrainingJob, version: ModelVersion) -> Sequence[ModelEvent]:
    """What is published of a version that was registered; the same whenever it is made."""
    tags = version.tags
    registered = f"silhouette {tags.get('silhouette', 'unknown')}, k {tags.get('k', 'unknown')}"
    told = [_event(job, version, ModelEventKind.REGISTERED, registered)]
    kinds = {
        Decision.PASSED: ModelEventKind.GATE_PASSED,
        Decision.REFUSED: ModelEventKind.GATE_REFUSED,
    }
    gate = tags.get(record.GATE_TAG)
    if gate in kinds:
        told.append(
            _event(job, version, kinds[Decision(gate)], tags.get(record.GATE_REASON_TAG, ""))
        )
    return told


def result(job: TrainingJob, version: ModelVersion) -> JobResult:
    """What stays in the job's row."""
    gate = version.tags.get(record.GATE_TAG)
    promoted = is_promoted(job, version)
    reason = version.tags.get(record.GATE_REASON_TAG, "")
    before = version.tags.get(record.REPLACES_TAG)
    replaces = "" if before is None else f"it replaces version {before} as the challenger; "
    if promoted:
        decision = passed_because(version)
    elif gate == record.PASSED:
        decision = f"held in Staging, as asked for; {replaces}{passed_because(version)}"
    elif gate == Decision.WAITING:
        decision = f"waits in Staging: {replaces}{reason}"
    elif gate == Decision.SUPERSEDED:
        decision = f"superseded: {reason}"
    else:
        decision = f"the gate refused: {reason}"
    return JobResult(
        model_name=version.name,
        model_version=version.version,
        run_id=version.run_id,
        promoted=promoted,
        decision=decision,
    )


def _event(
    job: TrainingJob, version: ModelVersion, kind: ModelEventKind, reason: str
) -> ModelEvent:
    return ModelEvent(
        event_id=str(uuid5(_NAMESPACE, f"{job.job_id}|{kind}")),
        kind=kind,
        model_name=version.name,
        model_version=version.version,
        at_ms=version.created_at_ms,
        actor=job.request.requested_by if kind is ModelEventKind.REGISTERED else GATE,
        reason=reason,
    )
