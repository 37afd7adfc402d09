"""What the in-memory stores share: the rows, and the lock that makes a change of them one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from faultline.adapters.episodes import LabelIdentity
from faultline.alarms import Alarm, AlarmState
from faultline.comparisons import Comparison
from faultline.drift import DriftEvent, DriftPart
from faultline.labels import FaultLabel
from faultline.ports.broker import Partition
from faultline.ports.gate_log import GateDecision
from faultline.ports.jobs import TrainingJob
from faultline.ports.promotions import Promotion
from faultline.ports.stores import StoredVerdict
from faultline.ports.triggers import Trigger
from faultline.readings import Reading


@dataclass
class JobRow:
    """A job with what is nobody's business but the store's.

    Attributes
    ----------
    readings_then
        Of the type, when it ended.
    """

    job: TrainingJob
    worker: str | None = None
    lease_until_ms: int = 0
    committed: bool = False
    readings_then: int | None = None


@dataclass
class Tables:
    """All rows. Whoever reads or writes holds `lock`.

    Attributes
    ----------
    readings, verdicts
        By machine and timestamp.
    offsets
        By consumer group and partition.
    comparisons
        By pair and counter.
    drift_events
        By id.
    drift_parts
        By machine type and replica.
    triggers
        In the order in which they were decided.
    schedules
        Since when, in milliseconds, which schedule holds, by machine type.
    turns
        Models whose Production somebody is changing.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    readings: dict[str, dict[int, Reading]] = field(default_factory=dict)
    verdicts: dict[str, dict[int, StoredVerdict]] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    labels: dict[LabelIdentity, FaultLabel] = field(default_factory=dict)
    offsets: dict[tuple[str, Partition], int] = field(default_factory=dict)
    jobs: dict[str, JobRow] = field(default_factory=dict)
    promotions: dict[str, Promotion] = field(default_factory=dict)
    gate_decisions: dict[str, GateDecision] = field(default_factory=dict)
    comparisons: dict[tuple[str, ...], Comparison] = field(default_factory=dict)
    drift_events: dict[str, DriftEvent] = field(default_factory=dict)
    drift_parts: dict[tuple[str, str], DriftPart] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)
    schedules: dict[str, tuple[str, int]] = field(default_factory=dict)
    turns: set[str] = field(default_factory=set)

    def open_alarms(self, machine_id: str) -> Iterable[Alarm]:
        """The machine's alarms that are open."""
        return (
            alarm
            for alarm in self.alarms.values()
            if alarm.machine_id == machine_id and alarm.state is AlarmState.OPEN
        )

    def readings_by_type(self) -> Counter[str]:
        """How many readings there are of machines by the type that they had last."""
        counted: Counter[str] = Counter()
        for rows in self.readings.values():
            counted[rows[max(rows)].machine_type] += len(rows)
        return counted
