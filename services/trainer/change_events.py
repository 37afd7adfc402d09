"""The events that a change of Production, or of a version beside it, is told by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.promotions import Promotion, PromotionKind

_NAMESPACE = UUID("6f0d2f55-9a0f-4c8b-8a47-6d5e3c1b7a90")


def derived(text: str) -> str:
    """An id that is the same whenever it is made of the same text."""
    return str(uuid5(_NAMESPACE, text))


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
