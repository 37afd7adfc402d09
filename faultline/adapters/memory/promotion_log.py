"""Keeps every change of Production, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.adapters.memory.tables import Tables
from faultline.ports.jobs import Promotion


class MemoryPromotionLog:
    """`PromotionLog` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def append(self, promotion: Promotion) -> None:
        """Add one; the same `promotion_id` again changes nothing."""
        with self._tables.lock:
            self._tables.promotions.setdefault(promotion.promotion_id, promotion)

    def list(self, model_name: str, limit: int = 100) -> Sequence[Promotion]:
        """The changes of a model, newest first."""
        return self._newest_first(model_name)[:limit]

    def live_at(self, model_name: str, at_ms: int) -> Promotion | None:
        """The change by which a version was in Production at that time."""
        changes = (each for each in self._newest_first(model_name) if each.at_ms <= at_ms)
        return next(changes, None)

    def _newest_first(self, model_name: str) -> Sequence[Promotion]:
        with self._tables.lock:
            last_told_first = list(reversed(self._tables.promotions.values()))
        # The sort keeps the order of those of one millisecond.
        return sorted(
            (each for each in last_told_first if each.model_name == model_name),
            key=lambda promotion: -promotion.at_ms,
        )
