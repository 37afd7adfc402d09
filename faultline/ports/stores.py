"""Stores: readings, verdicts and alarms, written by the recorder and read by everyone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from faultline.alarms import Alarm, AlarmEvent, AlarmState
from faultline.comparisons import Comparison
from faultline.drift import DriftEvent
from faultline.errors import UntrainableHistory
from faultline.labels import FaultLabel
from faultline.ports.broker import Partition
from faultline.ports.jobs import Period
from faultline.readings import Reading
from faultline.verdicts import Status, Verdict, VerdictBatch


class OffsetRange(NamedTuple):
    """What a batch holds of one partition: from `first` up to, not including, `next`."""

    first: int
    next: int


@dataclass(frozen=True)
class RecordBatch:
    """What the recorder stores in one transaction."""

    offsets: Mapping[Partition, OffsetRange]
    readings: Sequence[Reading] = ()
    verdicts: Sequence[VerdictBatch] = ()
    alarm_events: Sequence[AlarmEvent] = ()
    labels: Sequence[FaultLabel] = ()
    comparisons: Sequence[Comparison] = ()
    drift_events: Sequence[DriftEvent] = ()


class Recorded(NamedTuple):
    """What a batch came to. `duplicates` were there already with the same values."""

    stored: int
    duplicates: int
    conflicts: int


class RecordStore(Protocol):
    """The recorder's side. Every method raises `Unavailable` while the database is down."""

    def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Offsets of the next message to store; partitions never stored are left out."""

    def record(
        self,
        group: str,
        batch: RecordBatch,
        on_conflicts: Callable[[Sequence[int]], None],
    ) -> Recorded:
        """Store rows and offsets in one transaction; a replay changes nothing.

        Parameters
        ----------
        on_conflicts
            Called before the commit, only if there are any, with the indexes into
            `batch.readings` of those whose identity is stored with other values. If it raises,
            nothing is stored.

        Raises
        ------
        StaleOffsets
            When the stored offset of a partition is beyond the batch's first: another recorder
            has taken over.
        """


@dataclass(frozen=True)
class HistoryQuery:
    """Which readings: those of a type, in a time range (end excluded), less what is excluded.

    Attributes
    ----------
    max_rows
        Readings of all machines together, at most; the rest is left unread. None is all.
    max_sensors
        Different sensors of one machine, at most. None is any number.
    """

    machine_type: str
    start_ms: int | None = None
    end_ms: int | None = None
    machines: Sequence[str] | None = None
    sensors: Sequence[str] | None = None
    excluded: Sequence[Period] = ()
    max_rows: int | None = None
    max_sensors: int | None = None


class TimeRange(NamedTuple):
    """Milliseconds since the epoch, end excluded."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class MachineRows:
    """One machine's readings in time order.

    Attributes
    ----------
    sensors
        Column names, sorted.
    timestamps_ms
        Shape (n,), strictly increasing.
    values
        Shape (n, d), NaN where missing.
    """

    machine_id: str
    sensors: tuple[str, ...]
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class MachineSummary:
    """A machine as the lists show it: what it is, when it was last heard, how it does."""

    machine_id: str
    machine_type: str
    first_seen_ms: int
    last_seen_ms: int
    readings: int
    last_verdict: StoredVerdict | None = None
    open_alarm: Alarm | None = None


@dataclass(frozen=True)
class StoredVerdict:
    """A verdict with the version that gave it."""

    machine_id: str
    machine_type: str
    model_name: str | None
    model_version: str | None
    verdict: Verdict


@dataclass(frozen=True)
class VerdictCounts:
    """How many verdicts a machine got, by status and by model version (None: no model)."""

    by_status: Mapping[Status, int] = field(default_factory=dict)
    by_version: Mapping[str | None, int] = field(default_factory=dict)


class FleetStore(Protocol):
    """The reading side. Every method raises `Unavailable` while the database is down."""

    def history(self, query: HistoryQuery) -> Iterator[MachineRows]:
        """Readings, a machine at a time, machines by id; machines without rows are left out.

        Raises `UntrainableHistory` when a machine has more sensors than the query allows.
        """

    def newest_range(self, query: HistoryQuery, rows: int) -> TimeRange | None:
        """The time range of the newest readings of all machines together, so many at most.

        Readings of one instant are in it all or none. The query's own limits do not count.

        Returns
        -------
        TimeRange or None
            None when there are no more than so many.
        """

    def machines(self, machine_type: str | None = None) -> Sequence[MachineSummary]:
        """All machines, by id."""

    def machine(self, machine_id: str) -> MachineSummary:
        """One machine. Raises `NotFound`."""

    def readings(
        self,
        machine_id: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> MachineRows:
        """A machine's readings in a time range, end excluded; possibly none.

        Parameters
        ----------
        limit
            The oldest so many. None is all.
        """

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
        """A machine's verdicts, newest first, or oldest first; the first so many of them."""

    def verdict_counts(self, machine_id: str) -> VerdictCounts:
        """How many verdicts, by status and by version."""

    def verdicts_by_version(self, model_name: str) -> Mapping[str, int]:
        """How many verdicts each version of a model has made; looks through all that are stored."""

    def alarms(
        self,
        machine_id: str | None = None,
        state: AlarmState | None = None,
        limit: int = 100,
    ) -> Sequence[Alarm]:
        """Alarms, newest first."""

    def labels(self, machine_id: str | None = None) -> Sequence[FaultLabel]:
        """Known faults, by start."""


def require_sensors(machine_id: str, found: int, most: int | None) -> None:
    """Raise `UntrainableHistory` when a machine has more different sensors than `most`."""
    if most is not None and found > most:
        raise UntrainableHistory(
            f"machine {machine_id!r} has more than {most} different sensors; name those to learn "
            "from, or leave the machine out"
        )
