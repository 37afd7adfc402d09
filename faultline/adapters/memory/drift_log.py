"""Drift in memory: events, and what replicas counted."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.adapters.memory.tables import Tables
from faultline.drift import DriftEvent, DriftPart


class MemoryDriftLog:
    """`DriftLog` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        """The events, newest first; see the port."""
        with self._tables.lock:
            found = [
                event
                for event in self._tables.drift_events.values()
                if machine_type in {None, event.machine_type}
            ]
        found.sort(key=lambda event: (event.at_ms, event.event_id), reverse=True)
        return found[:limit]

    def keep(self, part: DriftPart, oldest_ms: int) -> None:
        """Put a part in place of the former one; see the port."""
        with self._tables.lock:
            kept = self._tables.drift_parts
            kept[part.machine_type, part.replica] = part
            for key in [key for key, one in kept.items() if one.at_ms < oldest_ms]:
                del kept[key]

    def parts(self, since_ms: int) -> Sequence[DriftPart]:
        """Parts counted since then; see the port."""
        with self._tables.lock:
            kept = self._tables.drift_parts
            return [kept[key] for key in sorted(kept) if kept[key].at_ms >= since_ms]
