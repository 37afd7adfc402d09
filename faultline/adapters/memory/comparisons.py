"""Comparisons of challengers with champions, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.adapters.memory.tables import Tables
from faultline.comparisons import Comparison, Pair, totals


class MemoryComparisonStore:
    """`ComparisonStore` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def comparisons(self, model_name: str | None = None) -> Sequence[Comparison]:
        """All pairs, each summed over all replicas; see the port."""
        with self._tables.lock:
            counters = list(self._tables.comparisons.values())
        return totals(one for one in counters if model_name in (None, one.model_name))

    def comparison(self, pair: Pair) -> Comparison | None:
        """One pair; see the port."""
        found = (one for one in self.comparisons(pair.model_name) if pair.covers(one.pair))
        return next(found, None)
