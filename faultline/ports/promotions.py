"""The log of promotions: every change of Production, for ever, and whose turn it is to make one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol

import msgspec

from faultline.errors import Conflict


class PromotionKind(StrEnum):
    """How a change came about. `archived`: of a version beside Production, which stays."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    EXTERNAL = "external"
    ARCHIVED = "archived"


class PromotionState(StrEnum):
    """`begun`: it is intended, and perhaps half made. `done`: it has happened."""

    BEGUN = "begun"
    DONE = "done"


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """One change of Production: who, when, why, from which version to which.

    Attributes
    ----------
    to_version, from_version
        None: none is, or was, in Production. Of the kind `archived`: None and the version.
    forced
        Whether the caller overrode the gate.
    gate, gate_reason
        What the gate said of `to_version` then; None when none had judged it.
    announced
        Whether its events are published.
    """

    promotion_id: str
    model_name: str
    to_version: str | None
    from_version: str | None
    at_ms: int
    actor: str
    reason: str
    kind: PromotionKind = PromotionKind.PROMOTION
    forced: bool = False
    gate: str | None = None
    gate_reason: str | None = None
    state: PromotionState = PromotionState.BEGUN
    announced: bool = False


class TurnTaken(Conflict):
    """Somebody else changes the model's Production at the same time."""


class Turn(Protocol):
    """What one has who is the only one to change a model's Production."""

    def require(self) -> None:
        """Raise `Unavailable` when it was lost: another may have it by now."""


class PromotionLog(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def turn(self, model_name: str) -> AbstractContextManager[Turn]:
        """Be the only one of all processes who changes the model's Production.

        It ends with the block, and with the process or its connection. Raises `TurnTaken`.
        """

    def begin(self, promotion: Promotion) -> None:
        """Write down what is intended; the same `promotion_id` again changes nothing.

        Raises `TurnTaken` when another change of the model is begun.
        """

    def finish(self, promotion_id: str, at_ms: int) -> bool:
        """What was begun has happened, at that time; again changes nothing.

        Returns whether it was still begun: if not, somebody else has finished it, or taken it back.
        """

    def withdraw(self, promotion_id: str) -> None:
        """What was begun has not happened and will not: its row is gone."""

    def mark_announced(self, promotion_id: str) -> None:
        """Its events are published."""

    def unfinished(self, model_name: str | None = None) -> Sequence[Promotion]:
        """Changes that are begun or not yet announced, of all models when None; oldest first.

        Those of versions beside Production are among them, and in no other answer.
        """

    def list(self, model_name: str, limit: int = 100) -> Sequence[Promotion]:
        """The changes of a model that have happened, newest first."""

    def live_models(self) -> Sequence[str]:
        """Models of which a version is in Production by their last change, by name."""

    def live_at(self, model_name: str, at_ms: int) -> Promotion | None:
        """The change by which a version was in Production at that time; None when none was."""
