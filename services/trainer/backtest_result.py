"""What a backtest comes to. Values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from faultline.alarms import Alarm
from faultline.labels import FaultLabel
from faultline.verdicts import Status

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Group:
    """Alarms of one machine that overlap each other in time: one finding.

    Attributes
    ----------
    then
        Those that were raised.
    now
        Those that the version raises.
    """

    machine_id: str
    then: tuple[Alarm, ...]
    now: tuple[Alarm, ...]

    @property
    def found_by(self) -> str:
        """Which of them has it: ``both``, ``then`` or ``now``."""
        if self.then and self.now:
            return "both"
        return "then" if self.then else "now"


@dataclass(frozen=True)
class Fault:
    """A known fault and how late each has found it, in seconds; None is not at all.

    Attributes
    ----------
    was_live
        Whether any version was live during a part of it.
    """

    label: FaultLabel
    then_delay_s: float | None
    now_delay_s: float | None
    was_live: bool


@dataclass(frozen=True)
class MachineBacktest:
    """One machine.

    Attributes
    ----------
    start_ms, end_ms
        Time of the first and last reading.
    verdicts
        Of the version, by status.
    false_then, false_now
        Alarms that no known fault explains.
    healthy_ms
        The time outside known faults.
    healthy_live_ms
        That part of it in which a version was live.
    learnt
        Readings of the time range that the version learnt from.
    """

    machine_id: str
    readings: int
    learnt: int
    start_ms: int
    end_ms: int
    verdicts: Mapping[Status, int]
    groups: tuple[Group, ...]
    faults: tuple[Fault, ...]
    false_then: int
    false_now: int
    healthy_ms: int
    healthy_live_ms: int


@dataclass(frozen=True)
class Tally:
    """What the alarms of one side come to.

    Attributes
    ----------
    machine_days, false_alarms_per_machine_day
        Outside known faults; None where there is no such time.
    faults
        Known ones that it could have found.
    recall, delay_s
        Part of the known faults that was found, and the median time to it; None without any.
    """

    alarms: int
    false_alarms: int
    machine_days: float
    false_alarms_per_machine_day: float | None
    faults: int
    faults_found: int
    recall: float | None
    delay_s: float | None


@dataclass(frozen=True)
class Backtest:
    """What a version makes of the history.

    Attributes
    ----------
    alarm_rule
        When its alarms open and close, in words.
    live_since_ms
        When a version of the model was live first; None when none ever was.
    """

    model_name: str
    model_version: str
    alarm_rule: str
    machines: tuple[MachineBacktest, ...]
    live_since_ms: int | None

    @property
    def verdicts(self) -> Mapping[Status, int]:
        """Of all machines."""
        counted: Counter[Status] = Counter()
        for machine in self.machines:
            counted.update(machine.verdicts)
        return dict(counted)

    @property
    def machine_days(self) -> float:
        """The time outside known faults, of all machines."""
        return sum(machine.healthy_ms for machine in self.machines) / _DAY_MS

    @property
    def then(self) -> Tally:
        """Of the alarms that were raised, over the time in which a version was live."""
        return self._tally(
            sum(len(group.then) for machine in self.machines for group in machine.groups),
            sum(machine.false_then for machine in self.machines),
            [
                fault.then_delay_s
                for machine in self.machines
                for fault in machine.faults
                if fault.was_live
            ],
            sum(machine.healthy_live_ms for machine in self.machines) / _DAY_MS,
        )

    @property
    def now(self) -> Tally:
        """Of the alarms that the version raises."""
        return self._tally(
            sum(len(group.now) for machine in self.machines for group in machine.groups),
            sum(machine.false_now for machine in self.machines),
            [fault.now_delay_s for machine in self.machines for fault in machine.faults],
            self.machine_days,
        )

    def _tally(self, alarms: int, false: int, delays: Sequence[float | None], days: float) -> Tally:
        found = [delay for delay in delays if delay is not None]
        return Tally(
            alarms=alarms,
            false_alarms=false,
            machine_days=days,
            false_alarms_per_machine_day=false / days if days else None,
            faults=len(delays),
            faults_found=len(found),
            recall=len(found) / len(delays) if delays else None,
            delay_s=median(found) if found else None,
        )
