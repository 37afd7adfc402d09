"""What starts trainings by itself, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faultline.adapters.memory.job_queue import MemoryJobQueue
from faultline.adapters.memory.tables import JobRow, Tables
from faultline.ports.jobs import JobState, TrainingRequest
from faultline.ports.triggers import (
    Known,
    NewReadings,
    Occasion,
    Trigger,
    TriggerKind,
    is_put_off,
    is_told,
    suppression,
)


class MemoryTriggerLog:
    """`TriggerLog` in memory."""

    def __init__(self, tables: Tables, queue: MemoryJobQueue) -> None:
        self._tables = tables
        self._queue = queue

    def decide(
        self,
        occasion: Occasion,
        request: TrainingRequest,
        now_ms: int,
        cooldown_ms: int,
        *,
        challenger_waits: bool = False,
    ) -> Trigger | None:
        """Queue a training, or write down why not; see the port."""
        with self._tables.lock:
            before = self._found(occasion)
            if before is not None and not self._is_put_off(before):
                return None
            why_not = suppression(
                occasion,
                self._known(occasion.machine_type),
                now_ms,
                cooldown_ms,
                challenger_waits=challenger_waits,
            )
            if is_told(before, why_not):
                return None
            trigger = Trigger(
                occasion=occasion,
                at_ms=now_ms,
                job_id=None if why_not else self._queue.submit(request).job_id,
                suppressed=why_not,
                attempt=1 if before is None else before.attempt + 1,
            )
            self._tables.triggers.append(trigger)
            return trigger

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[Trigger]:
        """What became of occasions, newest first; see the port."""
        with self._tables.lock:
            found = [
                one
                for one in reversed(self._tables.triggers)
                if machine_type in (None, one.occasion.machine_type)
            ]
        return sorted(found, key=lambda one: one.at_ms, reverse=True)[:limit]

    def put_off(self) -> Sequence[Trigger]:
        """What is to be decided again; see the port."""
        newest: dict[tuple[str, TriggerKind], Trigger] = {}
        with self._tables.lock:
            for one in self._tables.triggers:
                key = (one.occasion.machine_type, one.occasion.kind)
                if one.occasion.since_ms >= newest.get(key, one).occasion.since_ms:
                    newest[key] = one
            return [
                newest[key]
                for key in sorted(newest)
                if key[1] is not TriggerKind.NEW_DATA and self._is_put_off(newest[key])
            ]

    def scheduled_since(self, machine_type: str, schedule: str, now_ms: int) -> int:
        """Since when a machine type has its schedule; see the port."""
        with self._tables.lock:
            known = self._tables.schedules.get(machine_type)
            if known is None or known[0] != schedule:
                known = self._tables.schedules[machine_type] = (schedule, now_ms)
            return known[1]

    def new_readings(self) -> Mapping[str, NewReadings]:
        """How many readings have come, by machine type; see the port."""
        with self._tables.lock:
            return {
                machine_type: self._since_training(machine_type, stored)
                for machine_type, stored in self._tables.readings_by_type().items()
            }

    def _since_training(self, machine_type: str, stored: int) -> NewReadings:
        ended = [row for row in self._jobs(machine_type) if row.readings_then is not None]
        # Of those that ended within one millisecond the one that was submitted last.
        last = max(reversed(ended), key=lambda row: row.job.updated_at_ms, default=None)
        if last is None:
            return NewReadings(stored, None)
        return NewReadings(max(0, stored - (last.readings_then or 0)), last.job.job_id)

    def _is_put_off(self, trigger: Trigger) -> bool:
        row = None if trigger.job_id is None else self._tables.jobs.get(trigger.job_id)
        return is_put_off(trigger, None if row is None else row.job.state)

    def _found(self, occasion: Occasion) -> Trigger | None:
        key = (occasion.machine_type, occasion.kind, occasion.slot)
        return next(
            (
                one
                for one in reversed(self._tables.triggers)
                if (one.occasion.machine_type, one.occasion.kind, one.occasion.slot) == key
            ),
            None,
        )

    def _known(self, machine_type: str) -> Known:
        jobs = [row.job for row in self._jobs(machine_type)]
        return Known(
            has_readings=any(
                reading.machine_type == machine_type
                for rows in self._tables.readings.values()
                for reading in rows.values()
            ),
            busy=any(job.state in {JobState.QUEUED, JobState.RUNNING} for job in jobs),
            trained_ms=max(
                (job.created_at_ms for job in jobs if job.state is JobState.SUCCEEDED),
                default=None,
            ),
            triggered_ms=max(
                (
                    one.at_ms
                    for one in self._tables.triggers
                    if one.occasion.machine_type == machine_type and one.job_id is not None
                ),
                default=None,
            ),
        )

    def _jobs(self, machine_type: str) -> Sequence[JobRow]:
        return [
            row
            for row in self._tables.jobs.values()
            if row.job.request.machine_type == machine_type
        ]
