"""Answers what the services ask of machines, readings, verdicts, alarms and labels, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from faultline.adapters.memory.tables import Tables
from faultline.alarms import Alarm, AlarmState
from faultline.errors import NotFound
from faultline.labels import FaultLabel
from faultline.ports.stores import (
    HistoryQuery,
    MachineRows,
    MachineSummary,
    StoredVerdict,
    TimeRange,
    VerdictCounts,
    require_sensors,
)
from faultline.readings import Reading
from faultline.verdicts import Status


class MemoryFleetStore:
    """`FleetStore` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def history(self, query: HistoryQuery) -> Iterator[MachineRows]:
        """Readings, a machine at a time; see the port."""
        with self._tables.lock:
            machine_ids = sorted(self._tables.readings)
        left = query.max_rows
        for machine_id in machine_ids:
            if query.machines is not None and machine_id not in query.machines:
                continue
            rows = self._rows(machine_id, _wanted_by(query), query.sensors, left)
            require_sensors(machine_id, len(rows.sensors), query.max_sensors)
            if left is not None:
                left -= len(rows.timestamps_ms)
            if len(rows.timestamps_ms):
                yield rows

    def newest_range(self, query: HistoryQuery, rows: int) -> TimeRange | None:
        """The time range of the newest readings; see the port."""
        every = replace(query, max_rows=None, max_sensors=None)
        times = np.sort(
            np.concatenate(
                [np.empty(0, np.int64), *(one.timestamps_ms for one in self.history(every))]
            )
        )
        if len(times) <= rows:
            return None
        return TimeRange(int(times[-rows - 1]) + 1, int(times[-1]) + 1)

    def machines(self, machine_type: str | None = None) -> Sequence[MachineSummary]:
        """All machines, by id."""
        with self._tables.lock:
            summaries = [self._summary(machine_id) for machine_id in sorted(self._tables.readings)]
        return [each for each in summaries if machine_type in (None, each.machine_type)]

    def machine(self, machine_id: str) -> MachineSummary:
        """One machine; see the port."""
        with self._tables.lock:
            if machine_id not in self._tables.readings:
                raise NotFound(f"no reading of a machine {machine_id!r} has been stored")
            return self._summary(machine_id)

    def readings(
        self,
        machine_id: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> MachineRows:
        """A machine's readings in a time range; see the port."""
        return self._rows(
            machine_id, lambda reading: _within(reading.timestamp_ms, start_ms, end_ms), None, limit
        )

    def verdicts(
        self,
        machine_id: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        status: Status | None = None,
        limit: int = 100,
        *,
        oldest_first: bool = False,
    ) -> Sequence[StoredVerdict]:
        """A machine's verdicts, newest first, or oldest first; see the port."""
        with self._tables.lock:
            rows = self._tables.verdicts.get(machine_id, {})
            in_order = [rows[at_ms] for at_ms in sorted(rows, reverse=not oldest_first)]
        wanted = (
            stored
            for stored in in_order
            if _within(stored.verdict.timestamp_ms, start_ms, end_ms)
            and status in (None, stored.verdict.status)
        )
        return list(islice(wanted, limit))

    def verdict_counts(self, machine_id: str) -> VerdictCounts:
        """How many verdicts, by status and by version."""
        with self._tables.lock:
            rows = list(self._tables.verdicts.get(machine_id, {}).values())
        return VerdictCounts(
            by_status=dict(Counter(stored.verdict.status for stored in rows)),
            by_version=dict(Counter(stored.model_version for stored in rows)),
        )

    def verdicts_by_version(self, model_name: str) -> Mapping[str, int]:
        """How many verdicts each version of a model has made; see the port."""
        with self._tables.lock:
            rows = [one for by_time in self._tables.verdicts.values() for one in by_time.values()]
        versions = [one.model_version for one in rows if one.model_name == model_name]
        return dict(Counter(version for version in versions if version is not None))

    def alarms(
        self,
        machine_id: str | None = None,
        state: AlarmState | None = None,
        limit: int = 100,
    ) -> Sequence[Alarm]:
        """Alarms, newest first."""
        with self._tables.lock:
            alarms = list(self._tables.alarms.values())
        wanted = [
            alarm
            for alarm in alarms
            if machine_id in (None, alarm.machine_id) and state in (None, alarm.state)
        ]
        return sorted(wanted, key=lambda alarm: (-alarm.opened_at_ms, alarm.alarm_id))[:limit]

    def labels(self, machine_id: str | None = None) -> Sequence[FaultLabel]:
        """Known faults, by start."""
        with self._tables.lock:
            labels = list(self._tables.labels.values())
        wanted = (label for label in labels if machine_id in (None, label.machine_id))
        return sorted(wanted, key=lambda label: (label.start_ms, label.machine_id, label.kind))

    def _summary(self, machine_id: str) -> MachineSummary:
        readings = self._tables.readings[machine_id]
        verdicts = self._tables.verdicts.get(machine_id)
        last_seen_ms = max(readings)
        return MachineSummary(
            machine_id=machine_id,
            machine_type=readings[last_seen_ms].machine_type,
            first_seen_ms=min(readings),
            last_seen_ms=last_seen_ms,
            readings=len(readings),
            last_verdict=verdicts[max(verdicts)] if verdicts else None,
            open_alarm=max(
                self._tables.open_alarms(machine_id),
                key=lambda alarm: alarm.opened_at_ms,
                default=None,
            ),
        )

    def _rows(
        self,
        machine_id: str,
        wanted: Callable[[Reading], bool],
        sensors: Sequence[str] | None,
        most: int | None = None,
    ) -> MachineRows:
        with self._tables.lock:
            stored = list(self._tables.readings.get(machine_id, {}).values())
        rows = sorted(filter(wanted, stored), key=lambda reading: reading.timestamp_ms)[:most]
        named: set[str] = set().union(*(reading.sensors for reading in rows))
        names = sorted(named if sensors is None else named.intersection(sensors))
        values = np.array(
            [[reading.sensors.get(name) for name in names] for reading in rows], dtype=np.float64
        )
        return MachineRows(
            machine_id=machine_id,
            sensors=tuple(names),
            timestamps_ms=np.array([reading.timestamp_ms for reading in rows], dtype=np.int64),
            values=values.reshape(len(rows), len(names)),
        )


def _wanted_by(query: HistoryQuery) -> Callable[[Reading], bool]:
    return lambda reading: (
        reading.machine_type == query.machine_type
        and _within(reading.timestamp_ms, query.start_ms, query.end_ms)
        and not any(
            period.start_ms <= reading.timestamp_ms < period.end_ms for period in query.excluded
        )
    )


def _within(at_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms < end_ms)
