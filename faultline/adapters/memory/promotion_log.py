"""Keeps every change of Production in memory, and lets one thread at a time make one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import structs

from faultline.adapters.memory.tables import Tables
from faultline.ports.promotions import Promotion, PromotionKind, PromotionState, TurnTaken


class MemoryTurn:
    """`Turn` in memory: never lost."""

    def require(self) -> None:
        """It is there."""


class MemoryPromotionLog:
    """`PromotionLog` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @contextmanager
    def turn(self, model_name: str) -> Iterator[MemoryTurn]:
        """Be the only one; see the port."""
        with self._tables.lock:
            if model_name in self._tables.turns:
                raise TurnTaken(
                    f"another change of {model_name}'s Production is being made at this moment; "
                    "look at its history, then ask again"
                )
            self._tables.turns.add(model_name)
        try:
            yield MemoryTurn()
        finally:
            with self._tables.lock:
                self._tables.turns.discard(model_name)

    def begin(self, promotion: Promotion) -> None:
        """Write down what is intended; see the port."""
        begun = structs.replace(promotion, state=PromotionState.BEGUN, announced=False)
        with self._tables.lock:
            if promotion.promotion_id in self._tables.promotions:
                return
            if any(each.state is PromotionState.BEGUN for each in self._of(promotion.model_name)):
                raise TurnTaken(
                    f"another change of {promotion.model_name}'s Production is begun and not "
                    "finished; look at its history, then ask again"
                )
            self._tables.promotions[begun.promotion_id] = begun

    def finish(self, promotion_id: str, at_ms: int) -> bool:
        """What was begun has happened; see the port."""
        with self._tables.lock:
            if not self._is_begun(promotion_id):
                return False
            self._change(promotion_id, state=PromotionState.DONE, at_ms=at_ms)
            return True

    def withdraw(self, promotion_id: str) -> None:
        """What was begun will not happen; see the port."""
        with self._tables.lock:
            if self._is_begun(promotion_id):
                del self._tables.promotions[promotion_id]

    def mark_announced(self, promotion_id: str) -> None:
        """Its events are published."""
        with self._tables.lock:
            if promotion_id in self._tables.promotions:
                self._change(promotion_id, announced=True)

    def unfinished(self, model_name: str | None = None) -> Sequence[Promotion]:
        """Changes that are begun or not announced; see the port."""
        return [
            each
            for each in self._of(model_name)
            if each.state is PromotionState.BEGUN or not each.announced
        ]

    def list(self, model_name: str, limit: int = 100) -> Sequence[Promotion]:
        """The changes of a model, newest first."""
        return self._newest_first(model_name)[:limit]

    def live_models(self) -> Sequence[str]:
        """Models of which a version is in Production; see the port."""
        names = sorted({each.model_name for each in self._of(None)})
        last = ((name, next(iter(self._newest_first(name)), None)) for name in names)
        return [name for name, one in last if one is not None and one.to_version is not None]

    def live_at(self, model_name: str, at_ms: int) -> Promotion | None:
        """The change by which a version was in Production at that time; see the port."""
        changes = (each for each in self._newest_first(model_name) if each.at_ms <= at_ms)
        last = next(changes, None)
        return None if last is None or last.to_version is None else last

    def _of(self, model_name: str | None) -> Sequence[Promotion]:
        with self._tables.lock:
            rows = list(self._tables.promotions.values())
        return [each for each in rows if model_name in {None, each.model_name}]

    def _newest_first(self, model_name: str) -> Sequence[Promotion]:
        last_told_first = self._of(model_name)[::-1]
        # The sort keeps the order of those of one millisecond.
        return sorted(
            (
                each
                for each in last_told_first
                if each.state is PromotionState.DONE and each.kind is not PromotionKind.ARCHIVED
            ),
            key=lambda promotion: -promotion.at_ms,
        )

    def _is_begun(self, promotion_id: str) -> bool:
        found = self._tables.promotions.get(promotion_id)
        return found is not None and found.state is PromotionState.BEGUN

    def _change(self, promotion_id: str, **changes: Any) -> None:
        present = self._tables.promotions[promotion_id]
        self._tables.promotions[promotion_id] = structs.replace(present, **changes)
