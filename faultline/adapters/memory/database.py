"""A database in memory, with the stores that PostgreSQL has. It lives as long as the object."""

from __future__ import annotations

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory.comparisons import MemoryComparisonStore
from faultline.adapters.memory.drift_log import MemoryDriftLog
from faultline.adapters.memory.fleet_store import MemoryFleetStore
from faultline.adapters.memory.gate_log import MemoryGateLog
from faultline.adapters.memory.job_queue import MemoryJobQueue
from faultline.adapters.memory.promotion_log import MemoryPromotionLog
from faultline.adapters.memory.record_store import MemoryRecordStore
from faultline.adapters.memory.retention import MemoryRetentionStore
from faultline.adapters.memory.tables import Tables
from faultline.adapters.memory.trigger_log import MemoryTriggerLog
from faultline.ports.clock import Clock


class MemoryDatabase:
    """Everything that was made from one of these sees the same rows; safe between threads.

    Parameters
    ----------
    clock
        Tells when leases run out; the system's when None.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._tables = Tables()
        self._clock = clock or SystemClock()

    def record_store(self) -> MemoryRecordStore:
        """The recorder's side."""
        return MemoryRecordStore(self._tables)

    def retention_store(self) -> MemoryRetentionStore:
        """What outlives its time."""
        return MemoryRetentionStore(self._tables)

    def fleet_store(self) -> MemoryFleetStore:
        """The reading side."""
        return MemoryFleetStore(self._tables)

    def comparison_store(self) -> MemoryComparisonStore:
        """Comparisons of challengers with champions."""
        return MemoryComparisonStore(self._tables)

    def drift_log(self) -> MemoryDriftLog:
        """What drifted."""
        return MemoryDriftLog(self._tables)

    def job_queue(self) -> MemoryJobQueue:
        """Training jobs."""
        return MemoryJobQueue(self._tables, self._clock)

    def promotion_log(self) -> MemoryPromotionLog:
        """Every change of Production."""
        return MemoryPromotionLog(self._tables)

    def gate_log(self) -> MemoryGateLog:
        """What the gate found of every version."""
        return MemoryGateLog(self._tables)

    def trigger_log(self) -> MemoryTriggerLog:
        """What starts trainings by itself."""
        return MemoryTriggerLog(self._tables, self.job_queue())

    def ping(self) -> str | None:
        """Why the database cannot be used now: it always can."""
        return None

    def dispose(self) -> None:
        """Let go of nothing: there are no connections."""
