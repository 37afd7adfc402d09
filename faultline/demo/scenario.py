"""What happens when, in the machines' own time: history, live readings, faults, the second version.

Pure: yields readings and times, and knows nothing of the stack that they are sent through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import structs

from faultline.labels import FaultLabel
from faultline.matching import KnownFault
from faultline.ports.jobs import Period
from faultline.readings import Reading
from faultline.sources.faults import Fault, FaultKind
from faultline.sources.plant import Plant

_MINUTE_MS = 60_000
# The plant's series depends on the time it is read at. Reading it always at the same time, and
# moving its timestamps, makes two runs comparable.
_EPOCH_MS = 1_767_571_200_000
_HISTORY_MIN = 120
_LIVE_MIN = 62
# The second version learns from what came after the history too, once the first faults are over.
_TRAIN_AT_MIN = 34
_SLOW_FROM_MIN = 44
_WAIT_AT_MIN = 50
_PLANT_SPEED = 90.0
# After a fault a window's length passes before the readings are wholly healthy again.
_SETTLE_MIN = 2


class _Planned(NamedTuple):
    """A fault: on which machine (from 0), from which minute of the live readings, how long."""

    kind: FaultKind
    machine: int
    start_min: int
    minutes: int
    severity: float
    sensor: str | None = None


_PLAN = (
    # Judged by version 1. All have ended, and settled, when version 2 is trained.
    _Planned(FaultKind.LEAK, 0, 10, 12, 0.8),
    _Planned(FaultKind.BEARING_WEAR, 1, 11, 14, 0.8),
    _Planned(FaultKind.STUCK_SENSOR, 2, 13, 9, 1.0, "flow"),
    _Planned(FaultKind.OFFSET, 3, 14, 9, 1.0, "pressure_out"),
    _Planned(FaultKind.CLOGGED_FILTER, 4, 16, 14, 0.8),
    # Judged by version 2.
    _Planned(FaultKind.LEAK, 1, 51, 8, 0.7),
    _Planned(FaultKind.BEARING_WEAR, 2, 51, 9, 0.7),
    _Planned(FaultKind.LEAK, 3, 51, 8, 0.25),
)


@dataclass(frozen=True)
class Scenario:
    """One type of machine, from its history to the end of its live readings.

    Times are the machines', in milliseconds since the epoch.

    Attributes
    ----------
    history, live
        Yield readings in time order; each call begins anew.
    by_http
        Machines that send through the gateway; the others write to the topic.
    faults
        All that is known to be wrong; none of it is in the history.
    expected
        Those of the faults that must be found.
    last_quarter_ms
        When the last quarter of the history begins.
    live_start_ms, live_end_ms
        Of the live readings, end excluded.
    speed
        Seconds of machine time per second.
    train_at_ms
        When the live readings have come this far, the second version is trained on all before.
    slow_from_ms, wait_at_ms
        Should the second version not be in by then, the live readings slow down, and then wait: the
        rest is to be judged by it.
    excluded
        Left out of the second version's history: known faults, and what they leave in a window.
    """

    machine_type: str
    machine_ids: tuple[str, ...]
    by_http: frozenset[str]
    history: Callable[[], Iterator[Reading]]
    live: Callable[[], Iterator[Reading]]
    last_quarter_ms: int
    live_start_ms: int
    live_end_ms: int
    speed: float
    train_at_ms: int
    slow_from_ms: int
    wait_at_ms: int
    faults: tuple[KnownFault, ...]
    expected: frozenset[KnownFault]
    excluded: tuple[Period, ...]

    @property
    def quiet_machines(self) -> tuple[str, ...]:
        """Machines that have no fault at any time."""
        faulty = {fault.label.machine_id for fault in self.faults}
        return tuple(machine for machine in self.machine_ids if machine not in faulty)


def every_other(machine_ids: Sequence[str]) -> frozenset[str]:
    """Half of the machines: the first, the third, and so on."""
    return frozenset(machine_ids[::2])


def excluded_periods(
    faults: Sequence[KnownFault], until_ms: int, settle_ms: int
) -> tuple[Period, ...]:
    """Merge the times before `until_ms` in which any machine had a fault, with time to settle."""
    spans = sorted(
        (fault.label.start_ms, (fault.label.end_ms or until_ms) + settle_ms)
        for fault in faults
        if fault.label.start_ms < until_ms
    )
    merged: list[Period] = []
    for start_ms, end_ms in spans:
        if merged and start_ms <= merged[-1].end_ms:
            merged[-1] = Period(merged[-1].start_ms, max(end_ms, merged[-1].end_ms))
        else:
            merged.append(Period(start_ms, end_ms))
    return tuple(merged)


def plant_scenario(now_ms: int, *, machines: int = 8, seed: int = 7) -> Scenario:
    """Eight pumps: two healthy hours, then an hour in which five of them fail, some of them twice.

    The history is healthy. Each fault is between clear and a good deal fainter than the simulator
    can make it; one is so faint that it is declared hard beforehand. The last pumps stay healthy.
    But for the time it happens at, every run is the same.

    Parameters
    ----------
    now_ms
        Milliseconds since the epoch; the live readings end about then.
    """
    live_start_ms = now_ms // 1_000 * 1_000 - _LIVE_MIN * _MINUTE_MS
    shift_ms = live_start_ms - _EPOCH_MS
    healthy = Plant(machines=machines, seed=seed)
    plant = healthy.with_faults(_fault_plan(healthy, _EPOCH_MS))
    faults = tuple(KnownFault(_moved(fault.label, shift_ms), fault.hard) for fault in plant.faults)

    def readings(from_min: int, to_min: int) -> Iterator[Reading]:
        for reading in plant.readings(
            _EPOCH_MS + from_min * _MINUTE_MS, _EPOCH_MS + to_min * _MINUTE_MS
        ):
            yield structs.replace(reading, timestamp_ms=reading.timestamp_ms + shift_ms)

    def at(minute: int) -> int:
        return live_start_ms + minute * _MINUTE_MS

    return Scenario(
        machine_type=plant.machine_type,
        machine_ids=plant.machine_ids,
        by_http=every_other(plant.machine_ids),
        history=lambda: readings(-_HISTORY_MIN, 0),
        live=lambda: readings(0, _LIVE_MIN),
        last_quarter_ms=at(-_HISTORY_MIN // 4),
        live_start_ms=live_start_ms,
        live_end_ms=at(_LIVE_MIN),
        speed=_PLANT_SPEED,
        train_at_ms=at(_TRAIN_AT_MIN),
        slow_from_ms=at(_SLOW_FROM_MIN),
        wait_at_ms=at(_WAIT_AT_MIN),
        faults=faults,
        expected=frozenset(fault for fault in faults if not fault.hard),
        excluded=excluded_periods(faults, at(_TRAIN_AT_MIN), _SETTLE_MIN * _MINUTE_MS),
    )


def _moved(label: FaultLabel, by_ms: int) -> FaultLabel:
    return structs.replace(
        label,
        start_ms=label.start_ms + by_ms,
        end_ms=None if label.end_ms is None else label.end_ms + by_ms,
    )


def _fault_plan(plant: Plant, from_ms: int) -> tuple[Fault, ...]:
    return tuple(
        plant.fault(
            planned.kind,
            plant.machine_ids[planned.machine],
            from_ms + planned.start_min * _MINUTE_MS,
            planned.minutes * _MINUTE_MS,
            severity=planned.severity,
            sensor=planned.sensor,
        )
        for planned in _PLAN
    )
