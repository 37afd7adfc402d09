"""What a method says of a recording, row by row and as alarms.

Every method's rows go through the same alarm rule, `faultline.alarms` with its defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.recordings import Mask, Recording
from faultline.alarms import (
    AlarmEvent,
    AlarmEventKind,
    AlarmPolicy,
    AlarmTracker,
    Source,
    follow,
)
from faultline.detector import Detector
from faultline.judge import Model, judge
from faultline.readings import Reading
from faultline.verdicts import Status, Verdict


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method says of n rows.

    Attributes
    ----------
    bad
        Shape (n,): rows above the method's threshold; a row without a score is not one.
    alarm
        Shape (n,): whether an alarm is open once the row is known.
    opened
        The rows that opened an alarm.
    """

    bad: Mask
    alarm: Mask
    opened: tuple[int, ...]

    def after(self, row: int) -> Outcome:
        """Leave out the rows before `row`."""
        opened = tuple(at - row for at in self.opened if at >= row)
        return Outcome(self.bad[row:], self.alarm[row:], opened)


@dataclass(frozen=True, eq=False)
class Judged:
    """What Faultline says of n rows.

    Attributes
    ----------
    score
        Shape (n,): 1.0 is the boundary; NaN where there is none.
    top_sensors
        Per row the sensors that made its score, the largest first, where it is near the boundary
        or above.
    """

    outcome: Outcome
    score: NDArray[np.float64]
    top_sensors: tuple[tuple[str, ...], ...]


def judged(detector: Detector, recording: Recording) -> Judged:
    """Judge a recording as the predictor judges a machine that it sees for the first time."""
    readings = [
        Reading(
            machine_id=recording.name,
            timestamp_ms=at_ms,
            sensors=dict(zip(recording.sensors, row, strict=True)),
        )
        for at_ms, row in zip(
            recording.timestamps_ms.tolist(), recording.values.tolist(), strict=True
        )
    ]
    judgement = judge(Model("bench", "1", detector), None, readings, AlarmPolicy())
    verdicts = judgement.batch.verdicts
    score = np.array([np.nan if v.score is None else v.score for v in verdicts])
    alarm, opened = _alarms(recording.timestamps_ms, judgement.alarm_events)
    return Judged(
        Outcome(score > 1.0, alarm, opened),
        score,
        tuple(tuple(part.sensor for part in v.contributions) for v in verdicts),
    )


def under_the_alarm_rule(timestamps_ms: NDArray[np.int64], bad: Mask, scored: Mask) -> Outcome:
    """Apply the alarm rule to the rows of a method that has none of its own.

    Parameters
    ----------
    timestamps_ms, bad, scored
        Shape (n,): the time of each row, whether it is above the threshold, whether it has a
        score at all.
    """
    verdicts = [
        Verdict(
            timestamp_ms=at_ms,
            status=Status.FAILURE if is_bad else Status.NORMAL,
            score=2.0 if is_bad else 0.0,
        )
        for at_ms, is_bad, has_score in zip(
            timestamps_ms.tolist(), bad.tolist(), scored.tolist(), strict=True
        )
        if has_score
    ]
    source = Source("bench", "bench", "bench", "1")
    _, events = follow(AlarmTracker(), source, verdicts, AlarmPolicy())
    return Outcome(bad & scored, *_alarms(timestamps_ms, events))


def _alarms(
    timestamps_ms: NDArray[np.int64], events: Sequence[AlarmEvent]
) -> tuple[Mask, tuple[int, ...]]:
    """From an alarm's opening row up to the row before the one that closes it, it is open."""
    is_open = np.zeros(len(timestamps_ms), dtype=bool)
    opened: list[int] = []
    for event in events:
        if event.kind is AlarmEventKind.OPENED:
            row = int(np.searchsorted(timestamps_ms, event.alarm.opened_at_ms))
            is_open[row:] = True
            opened.append(row)
        elif event.alarm.closed_at_ms is not None:
            is_open[np.searchsorted(timestamps_ms, event.alarm.closed_at_ms) :] = False
    return is_open, tuple(opened)
