"""Alarms against the truth: which faults were found, how late, and which alarms were false.

Pure: it compares times, and knows nothing of how an alarm or a fault came about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faultline.alarms import Alarm
from faultline.labels import FaultLabel

# An alarm lists more, but a person reads the first few.
_NAMED_PER_ALARM = 3


@dataclass(frozen=True)
class KnownFault:
    """A fault whose time is known.

    Attributes
    ----------
    label
        Machine, kind, start and end.
    hard
        Declared as more than a detector must find.
    """

    label: FaultLabel
    hard: bool = False


@dataclass(frozen=True)
class FaultOutcome:
    """What the alarms made of one fault.

    Attributes
    ----------
    alarms
        Those that found it, by opening time; empty when it was missed.
    delay_s
        From the fault's start to the first of them, in seconds of machine time; 0 when an alarm
        that an earlier fault had opened was still open, None when missed.
    named_sensors
        The three that contribute most to each of those alarms' peaks, each once, the first
        alarm's first.
    """

    fault: KnownFault
    alarms: tuple[Alarm, ...]
    delay_s: float | None
    named_sensors: tuple[str, ...]

    @property
    def detected(self) -> bool:
        """Whether an alarm found it."""
        return bool(self.alarms)

    @property
    def names_a_faulty_sensor(self) -> bool | None:
        """Whether the alarms name a sensor that shows it; None when the truth names none."""
        true_sensors = self.fault.label.sensors
        if not true_sensors or not self.alarms:
            return None
        return not set(true_sensors).isdisjoint(self.named_sensors)


@dataclass(frozen=True)
class Matching:
    """All faults with what was made of them, and the alarms that no fault explains."""

    outcomes: tuple[FaultOutcome, ...]
    false_alarms: tuple[Alarm, ...]


def match(
    faults: Sequence[KnownFault], alarms: Sequence[Alarm], grace_ms: Mapping[str, int]
) -> Matching:
    """Hold alarms against known faults.

    A fault explains an alarm of its machine that opens between the fault's start and its end plus
    the grace: until then the detector's window still holds readings taken under the fault. An alarm
    that no fault explains is false. A fault is detected by an alarm that it explains, and by one
    that an earlier fault explains and that is still open, so long as no more than the grace lies
    between each of the machine's faults from that one on: of two faults in a row, one episode finds
    both. An alarm that was wrongly open before finds none, and one that stayed open through a
    healthy time finds nothing after it.

    Parameters
    ----------
    grace_ms
        Per machine type: the time that the detector's window spans.

    Returns
    -------
    Matching
        Outcomes by machine and start; false alarms by opening time.
    """
    ordered = sorted(alarms, key=lambda alarm: (alarm.opened_at_ms, alarm.machine_id))
    in_order = sorted(faults, key=lambda fault: (fault.label.machine_id, fault.label.start_ms))
    finders: list[list[Alarm]] = [[] for _ in in_order]
    false_alarms: list[Alarm] = []
    for alarm in ordered:
        found = _found_by(alarm, in_order, grace_ms.get(alarm.machine_type, 0))
        if not found:
            false_alarms.append(alarm)
        for index in found:
            finders[index].append(alarm)
    outcomes = [
        _outcome(fault, found_by) for fault, found_by in zip(in_order, finders, strict=True)
    ]
    return Matching(tuple(outcomes), tuple(false_alarms))


def _found_by(alarm: Alarm, faults: Sequence[KnownFault], grace_ms: int) -> list[int]:
    """Return the indices of the faults, in time order, that the alarm found."""
    closed_at_ms = math.inf if alarm.closed_at_ms is None else alarm.closed_at_ms
    found: list[int] = []
    # How far the faults met so far account for the alarm's being open.
    until_ms = -math.inf
    for index, fault in enumerate(faults):
        label = fault.label
        if label.machine_id != alarm.machine_id:
            continue
        settled_ms = math.inf if label.end_ms is None else label.end_ms + grace_ms
        if label.start_ms <= alarm.opened_at_ms:
            finds = alarm.opened_at_ms < settled_ms
        else:
            finds = label.start_ms <= until_ms and label.start_ms < closed_at_ms
        if finds:
            found.append(index)
            until_ms = max(until_ms, settled_ms)
    return found


def _outcome(fault: KnownFault, alarms: Sequence[Alarm]) -> FaultOutcome:
    named = dict.fromkeys(
        top.sensor for alarm in alarms for top in alarm.top_sensors[:_NAMED_PER_ALARM]
    )
    delay_s = None
    if alarms:
        delay_s = max(0, alarms[0].opened_at_ms - fault.label.start_ms) / 1_000
    return FaultOutcome(fault, tuple(alarms), delay_s, tuple(named))
