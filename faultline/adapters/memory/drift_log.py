"""Drift events in memory."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.adapters.memory.tables import Tables
from faultline.drift import DriftEvent


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
