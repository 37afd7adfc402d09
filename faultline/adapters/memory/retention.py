"""Retention in memory: the same months as in PostgreSQL, though nothing is kept by month."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from faultline.adapters.memory.tables import Tables
from faultline.adapters.months import end_ms, month_of_ms, month_of_partition, partition_name
from faultline.ports.retention import Expired, Kept


class MemoryRetentionStore:
    """`RetentionStore` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def expired(self, cutoffs: Mapping[Kept, int]) -> Sequence[Expired]:
        """What is from before; see the port."""
        with self._tables.lock:
            return [
                one
                for kind in Kept
                if kind in cutoffs
                for one in (
                    self._events(cutoffs[kind])
                    if kind is Kept.EVENTS
                    else self._months(kind, cutoffs[kind])
                )
            ]

    def drop(self, expired: Expired) -> bool:
        """Drop it; see the port."""
        with self._tables.lock:
            if expired.kind is not Kept.EVENTS:
                return self._drop_month(expired)
            rows = self._old_events(expired.until_ms)[expired.name]
            table: dict[str, Any] = getattr(self._tables, expired.name)
            for key in rows:
                del table[key]
            return bool(rows)

    def prepare(self, now_ms: int) -> None:
        """Nothing is to be made ready here."""

    def _rows(self, kind: Kept) -> Mapping[str, dict[int, Any]]:
        return self._tables.readings if kind is Kept.READINGS else self._tables.verdicts

    def _months(self, kind: Kept, before_ms: int) -> Sequence[Expired]:
        counted = Counter(month_of_ms(at) for rows in self._rows(kind).values() for at in rows)
        return [
            Expired(
                kind=kind, name=partition_name(kind.value, start), until_ms=end_ms(start), rows=rows
            )
            for start, rows in sorted(counted.items())
            if end_ms(start) <= before_ms
        ]

    def _drop_month(self, expired: Expired) -> bool:
        start, dropped = month_of_partition(expired.kind.value, expired.name), False
        for rows in self._rows(expired.kind).values():
            for at in [at for at in rows if month_of_ms(at) == start]:
                del rows[at]
                dropped = True
        return dropped

    def _events(self, before_ms: int) -> Sequence[Expired]:
        return [
            Expired(kind=Kept.EVENTS, name=name, until_ms=before_ms, rows=len(rows))
            for name, rows in self._old_events(before_ms).items()
            if rows
        ]

    def _old_events(self, before_ms: int) -> Mapping[str, Sequence[str]]:
        return {
            "alarms": [
                alarm_id
                for alarm_id, alarm in self._tables.alarms.items()
                if alarm.closed_at_ms is not None and alarm.closed_at_ms < before_ms
            ],
            "drift_events": [
                event_id
                for event_id, event in self._tables.drift_events.items()
                if event.at_ms < before_ms
            ],
        }
