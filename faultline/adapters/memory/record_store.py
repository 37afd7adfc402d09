"""Stores what the recorder consumed, in memory, all of a batch or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from faultline.adapters.episodes import corrected, identity_of, moved_on
from faultline.adapters.memory.tables import Tables
from faultline.comparisons import KEPT_MS
from faultline.errors import StaleOffsets
from faultline.ports.broker import Partition
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded, StoredVerdict
from faultline.readings import Reading
from faultline.verdicts import VerdictBatch


class MemoryRecordStore:
    """`RecordStore` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Offsets of the next message to store; see the port."""
        with self._tables.lock:
            return {
                partition: self._tables.offsets[group, partition]
                for partition in partitions
                if (group, partition) in self._tables.offsets
            }

    def record(
        self,
        group: str,
        batch: RecordBatch,
        on_conflicts: Callable[[Sequence[int]], None],
    ) -> Recorded:
        """Store rows and offsets at once; see the port."""
        with self._tables.lock:
            self._check_offsets(group, batch.offsets)
            new, conflicts = self._sorted_out(batch.readings)
            # Before anything is written: if it raises, nothing is stored.
            if conflicts:
                on_conflicts(conflicts)
            for reading in new:
                rows = self._tables.readings.setdefault(reading.machine_id, {})
                rows[reading.timestamp_ms] = reading
            for verdicts in batch.verdicts:
                self._keep_verdicts(verdicts)
            self._keep_alarms(batch)
            self._keep_comparisons(batch)
            for event in batch.drift_events:
                self._tables.drift_events.setdefault(event.event_id, event)
            for partition, offsets in batch.offsets.items():
                self._tables.offsets[group, partition] = offsets.next
        duplicates = len(batch.readings) - len(new) - len(conflicts)
        return Recorded(len(new), duplicates, len(conflicts))

    def _check_offsets(self, group: str, ranges: Mapping[Partition, OffsetRange]) -> None:
        for partition, offsets in ranges.items():
            stored = self._tables.offsets.get((group, partition), offsets.first)
            if stored > offsets.first:
                raise StaleOffsets(
                    f"{partition.topic}, partition {partition.number}: the batch begins at offset "
                    f"{offsets.first}, but the group {group} has stored up to {stored}: another "
                    "recorder has taken over; drop the batch and go on from the stored offset"
                )

    def _sorted_out(self, readings: Sequence[Reading]) -> tuple[list[Reading], list[int]]:
        new: dict[tuple[str, int], Reading] = {}
        conflicts: list[int] = []
        for position, reading in enumerate(readings):
            machine_id, timestamp_ms = identity = reading.identity
            stored = self._tables.readings.get(machine_id, {}).get(timestamp_ms)
            first = stored or new.setdefault(identity, reading)
            if (first.sensors, first.machine_type) != (reading.sensors, reading.machine_type):
                conflicts.append(position)
        return list(new.values()), conflicts

    def _keep_verdicts(self, batch: VerdictBatch) -> None:
        rows = self._tables.verdicts.setdefault(batch.machine_id, {})
        for verdict in batch.verdicts:
            rows.setdefault(
                verdict.timestamp_ms,
                StoredVerdict(
                    machine_id=batch.machine_id,
                    machine_type=batch.machine_type,
                    model_name=batch.model_name,
                    model_version=batch.model_version,
                    verdict=verdict,
                ),
            )

    def _keep_comparisons(self, batch: RecordBatch) -> None:
        for one in batch.comparisons:
            key = (*one.pair, one.counter_id)
            known = self._tables.comparisons.get(key)
            if known is None or known.readings < one.readings:
                self._tables.comparisons[key] = one
        for name in {one.model_name for one in batch.comparisons}:
            self._drop_old_comparisons(name)

    def _drop_old_comparisons(self, model_name: str) -> None:
        kept = self._tables.comparisons
        of_model = {key: one for key, one in kept.items() if one.model_name == model_name}
        oldest_ms = max(one.until_ms for one in of_model.values()) - KEPT_MS
        for key, one in of_model.items():
            if one.until_ms < oldest_ms:
                del kept[key]

    def _keep_alarms(self, batch: RecordBatch) -> None:
        alarms, labels = self._tables.alarms, self._tables.labels
        for event in batch.alarm_events:
            alarm = event.alarm
            stored = alarms.get(alarm.alarm_id)
            alarms[alarm.alarm_id] = alarm if stored is None else moved_on(stored, alarm)
        for label in batch.labels:
            identity = identity_of(label)
            known = labels.get(identity)
            labels[identity] = label if known is None else corrected(known, label)
