"""Alarms held against labelled faults: found or missed, how late, and the false ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.outcome import Outcome
from bench.recordings import Mask, Recording


@dataclass(frozen=True)
class FaultFigures:
    """What a method made of one labelled fault.

    Attributes
    ----------
    delay_s
        From the fault's first row to the one that opened an alarm; 0 where the alarm of the fault
        just before was still open, None where no alarm was.
    carried_from
        That fault before, if so.
    bad_share
        The part of its rows above the threshold.
    """

    recording: str
    fault: str
    delay_s: float | None
    carried_from: str | None
    bad_share: float


@dataclass(frozen=True)
class HealthyFigures:
    """False alarms on healthy rows: how many alarms opened, and the part above the threshold."""

    recording: str
    rows: int
    alarms: int
    bad_share: float


@dataclass(frozen=True)
class Report:
    """Figures of one method over all recordings."""

    faults: tuple[FaultFigures, ...]
    healthy: tuple[HealthyFigures, ...]


def fault_spans(fault: NDArray[np.str_]) -> list[tuple[str, int, int]]:
    """Find the runs of one label: its name, its first row, and the first row after it."""
    starts = [0, *(np.flatnonzero(fault[1:] != fault[:-1]) + 1).tolist()]
    ends = [*starts[1:], len(fault)]
    return [
        (str(fault[start]), start, end)
        for start, end in zip(starts, ends, strict=True)
        if fault[start]
    ]


def fault_figures(recording: Recording, outcome: Outcome) -> list[FaultFigures]:
    """Measure each labelled fault of a recording.

    An alarm counts for a fault when it opens inside it, or when it opened in a fault before, with
    no healthy row since, and is still open. One that opened on a healthy row never counts.
    """
    found = []
    for fault, start, end in fault_spans(recording.fault):
        carried_from = carried(recording, outcome, start)
        inside = [row for row in outcome.opened if start <= row < end]
        delay_s = None
        if carried_from is not None:
            delay_s = 0.0
        elif inside:
            times = recording.timestamps_ms
            delay_s = float(times[inside[0]] - times[start]) / 1_000
        bad_share = float(outcome.bad[start:end].mean())
        found.append(FaultFigures(recording.name, fault, delay_s, carried_from, bad_share))
    return found


def carried(recording: Recording, outcome: Outcome, start: int) -> str | None:
    """Name the fault that opened the alarm which is open as the next fault starts."""
    before = [row for row in outcome.opened if row < start]
    if not (before and outcome.alarm[start - 1] and outcome.alarm[start]):
        return None
    since = recording.fault[before[-1] : start]
    return str(since[0]) if (since != "").all() else None


def healthy_rows(fault: NDArray[np.str_], window_rows: int) -> Mask:
    """Mark the healthy rows, but not those whose window still holds a row of a fault before."""
    healthy = np.asarray(fault == "")
    for _, _, end in fault_spans(fault):
        healthy[end : end + window_rows] = False
    return healthy


def healthy_figures(recording: Recording, outcome: Outcome, window_rows: int) -> HealthyFigures:
    """Count what is false on a recording's healthy rows."""
    healthy = healthy_rows(recording.fault, window_rows)
    return HealthyFigures(
        recording=recording.name,
        rows=int(healthy.sum()),
        alarms=sum(bool(healthy[row]) for row in outcome.opened),
        bad_share=float(outcome.bad[healthy].mean()) if healthy.any() else 0.0,
    )


def report(streams: Sequence[Recording], outcomes: Sequence[Outcome], window_rows: int) -> Report:
    """Measure one method, given its outcome on each stream."""
    pairs = list(zip(streams, outcomes, strict=True))
    return Report(
        faults=tuple(found for pair in pairs for found in fault_figures(*pair)),
        healthy=tuple(healthy_figures(*pair, window_rows) for pair in pairs),
    )
