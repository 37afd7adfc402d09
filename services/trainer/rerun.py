"""Judges stored readings of one machine by a version, as the stream would have.

Pure: it judges through `faultline.judge`, and knows neither where rows come from nor what becomes
of the alarms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from faultline.alarms import Alarm, AlarmPolicy
from faultline.judge import Explanation, Model, judge
from faultline.machine_state import MachineState
from faultline.ports.stores import MachineRows
from faultline.readings import Reading
from faultline.verdicts import Status

_AT_ONCE = 4_096
# What an alarm says of sensors comes from its worst verdict.
_FAILURES = Explanation(min_score=1.0, sensors=3)


@dataclass(frozen=True)
class Rerun:
    """What a version makes of a machine's rows.

    Attributes
    ----------
    verdicts
        How many of each status.
    alarms
        By opening, each as it stood at the end; those that closed before the time that was asked
        about are not among them.
    """

    verdicts: Mapping[Status, int]
    alarms: tuple[Alarm, ...]


def rerun(
    model: Model, machine_type: str, rows: MachineRows, from_ms: int, policy: AlarmPolicy
) -> Rerun:
    """Judge rows from an empty window on.

    Parameters
    ----------
    rows
        At least one, in time order.
    from_ms
        The rows before fill the window: their verdicts are not counted.
    policy
        By which alarms open and close.
    """
    state: MachineState | None = None
    verdicts: Counter[Status] = Counter()
    alarms: dict[str, Alarm] = {}
    for part in _parts(rows, machine_type):
        judgement = judge(model, state, part, policy, _FAILURES)
        state = judgement.state
        verdicts.update(
            one.status for one in judgement.batch.verdicts if one.timestamp_ms >= from_ms
        )
        alarms.update((event.alarm.alarm_id, event.alarm) for event in judgement.alarm_events)
    return Rerun(
        dict(verdicts),
        tuple(
            alarm
            for alarm in alarms.values()
            if alarm.closed_at_ms is None or alarm.closed_at_ms > from_ms
        ),
    )


def lead_ms(model: Model) -> int:
    """How long before a time the rows begin that a verdict at that time stands on, about.

    Twice what fills the window at the usual step, so that some may be missing.
    """
    detector = model.detector
    return 2 * detector.rows_needed * max(1, detector.max_gap_ms // detector.window_rows)


def usual_step_ms(rows: MachineRows) -> int:
    """The median time between two rows; 0 where there are no two."""
    return int(np.median(np.diff(rows.timestamps_ms))) if len(rows.timestamps_ms) > 1 else 0


def _parts(rows: MachineRows, machine_type: str) -> Iterator[list[Reading]]:
    """A machine's rows as readings, so few at once that they take no room beside the rows."""
    for first in range(0, len(rows.timestamps_ms), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        yield [
            Reading(
                machine_id=rows.machine_id,
                timestamp_ms=at_ms,
                sensors={
                    name: None if math.isnan(value) else value
                    for name, value in zip(rows.sensors, values, strict=True)
                },
                machine_type=machine_type,
            )
            for at_ms, values in zip(
                rows.timestamps_ms[part].tolist(), rows.values[part].tolist(), strict=True
            )
        ]
