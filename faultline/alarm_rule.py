"""The alarm rule on bare scores, for evaluations: what a person would see of them.

It knows the rule of `faultline.alarms`, and nothing of how scores are made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.alarms import AlarmEventKind, AlarmPolicy, AlarmTracker, Source, follow
from faultline.detector.evaluation import AlarmRule
from faultline.verdicts import Status, Verdict

_CHUNK_ROWS = 1_000
"""While nothing is bad, whole chunks are followed at once; a long history never is in memory as
verdicts."""
_SOURCE = Source(machine_id="", machine_type="", model_name="", model_version="")


def alarm_rule(policy: AlarmPolicy) -> AlarmRule:
    """The rule of `faultline.alarms`, on the scores of consecutive rows.

    Examples
    --------
    >>> rule = alarm_rule(AlarmPolicy(open_bad=2, open_window=3, close_good=2))
    >>> rule.is_open(np.array([np.nan, 1.1, 0.9, 1.1, 0.9, 0.9, 0.9])).tolist()
    [False, False, False, True, True, False, False]
    """

    def is_open(score: NDArray[np.float64]) -> NDArray[np.bool_]:
        opened = np.zeros(len(score), dtype=np.bool_)
        for first, end in _episodes(score, policy):
            opened[first:end] = True
        return opened

    return AlarmRule(rows=policy.open_window, is_open=is_open)


def in_words(policy: AlarmPolicy) -> str:
    """When alarms open and close, for reports.

    >>> in_words(AlarmPolicy())
    'an alarm opens at 6 failures of the last 10 readings, and closes at 10 in a row that are none'
    """
    return (
        f"an alarm opens at {policy.open_bad} failures of the last {policy.open_window} readings, "
        f"and closes at {policy.close_good} in a row that are none"
    )


def alarms_opened(score: NDArray[np.float64], policy: AlarmPolicy) -> int:
    """How many alarms the scores of consecutive rows of one machine open; NaN is no score.

    >>> alarms_opened(np.array([1.1, 1.1, np.nan, 0.9, 0.9]), AlarmPolicy(open_bad=2))
    1
    """
    return len(_episodes(score, policy))


def _episodes(score: NDArray[np.float64], policy: AlarmPolicy) -> list[tuple[int, int]]:
    """Rows at which alarms open and close; the last may be open to the end."""
    found: list[tuple[int, int]] = []
    scored = np.flatnonzero(~np.isnan(score))
    tracker = AlarmTracker()
    for first in range(0, len(scored), _CHUNK_ROWS):
        rows = scored[first : first + _CHUNK_ROWS]
        tracker, events = follow(tracker, _SOURCE, _verdicts(rows, score[rows]), policy)
        for event in events:
            if event.kind is AlarmEventKind.OPENED:
                found.append((event.alarm.opened_at_ms, len(score)))
            elif event.alarm.closed_at_ms is not None:
                found[-1] = (found[-1][0], event.alarm.closed_at_ms)
    return found


def _verdicts(rows: NDArray[np.int64], score: NDArray[np.float64]) -> list[Verdict]:
    """With the row's number in place of its time: the events then say at which rows."""
    return [
        Verdict(
            timestamp_ms=row,
            status=Status.FAILURE if value > 1.0 else Status.NORMAL,
            score=value,
        )
        for row, value in zip(rows.tolist(), score.tolist(), strict=True)
    ]
