"""The events that a change of a version, or what the gate decides of it later, is told by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from faultline.events import ModelEvent, ModelEventKind
from faultline.gate_report import Decision
from faultline.ports.gate_log import GateDecision
from faultline.ports.promotions import Promotion, PromotionKind

_NAMESPACE = UUID("6f0d2f55-9a0f-4c8b-8a47-6d5e3c1b7a90")
_DECISIONS = UUID("1f6a7e0e-54f0-4f0e-9d92-0a3b5a1c8e55")
GATE = "gate"
_KINDS = {
    Decision.PASSED: ModelEventKind.GATE_PASSED,
    Decision.REFUSED: ModelEventKind.GATE_REFUSED,
    Decision.SUPERSEDED: ModelEventKind.SUPERSEDED,
}


def derived(text: str) -> str:
    """An id that is the same whenever it is made of the same text."""
    return str(uuid5(_NAMESPACE, text))


def event_of(decision: GateDecision) -> ModelEvent:
    """What is published of a decision on a registered version; the same whenever it is made."""
    assert decision.model_version is not None
    return ModelEvent(
        event_id=str(uuid5(_DECISIONS, f"{decision.decision_id}|{decision.report.champion}")),
        kind=_KINDS[decision.decision],
        model_name=decision.model_name,
        model_version=decision.model_version,
        at_ms=decision.at_ms,
        actor=GATE,
        reason=decision.reason,
    )


def events_of(change: Promotion) -> Sequence[ModelEvent]:
    """What is published of a change that has happened; their ids come from the row's."""
    told = []
    rolled_back = change.kind is PromotionKind.ROLLBACK
    if change.to_version is not None:
        told.append(
            ModelEvent(
                event_id=derived(f"{change.promotion_id}|promoted"),
                kind=ModelEventKind.ROLLED_BACK if rolled_back else ModelEventKind.PROMOTED,
                model_name=change.model_name,
                model_version=change.to_version,
                at_ms=change.at_ms,
                actor=change.actor,
                reason=change.reason,
                previous_version=change.from_version,
            )
        )
    if change.from_version is not None:
        told.append(
            ModelEvent(
                event_id=derived(f"{change.promotion_id}|archived"),
                kind=ModelEventKind.ARCHIVED,
                model_name=change.model_name,
                model_version=change.from_version,
                at_ms=change.at_ms,
                actor=change.actor,
                reason=f"version {change.to_version} took its place"
                if change.to_version is not None
                else change.reason,
            )
        )
    return told
