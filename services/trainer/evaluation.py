"""The evaluation by injected faults, by the alarm rule that people see. It registers nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.alarms import AlarmEventKind, AlarmPolicy, AlarmTracker, Source, follow
from faultline.detector.config import FitConfig
from faultline.detector.evaluation import AlarmRule, InjectionReport, NotEvaluated, evaluate
from faultline.detector.fit import fit
from faultline.verdicts import Status, Verdict
from services.trainer.dataset import Dataset

Evaluation = InjectionReport | NotEvaluated

SKIPPED = NotEvaluated("it is switched off by the trainer's settings")

_CHUNK_ROWS = 1_000
"""While nothing is bad, whole chunks are followed at once; a long history never is in memory as
verdicts."""
_SOURCE = Source(machine_id="", machine_type="", model_name="", model_version="")


def evaluate_faults(dataset: Dataset, config: FitConfig) -> Evaluation:
    """Fit once more, without the end of the history, and see what faults injected there come to."""
    return evaluate(dataset.sensors, dataset.histories, config, fit, alarm_rule(AlarmPolicy()))


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
        scored = np.flatnonzero(~np.isnan(score))
        since = 0
        tracker = AlarmTracker()
        for first in range(0, len(scored), _CHUNK_ROWS):
            rows = scored[first : first + _CHUNK_ROWS]
            tracker, events = follow(tracker, _SOURCE, _verdicts(rows, score[rows]), policy)
            for event in events:
                if event.kind is AlarmEventKind.OPENED:
                    since = event.alarm.opened_at_ms
                elif event.alarm.closed_at_ms is not None:
                    opened[since : event.alarm.closed_at_ms] = True
        if tracker.alarm is not None:
            opened[since:] = True
        return opened

    return AlarmRule(rows=policy.open_window, is_open=is_open)


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
