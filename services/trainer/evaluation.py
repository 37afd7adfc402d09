"""The evaluation by injected faults, by the alarm rule that people see. It registers nothing."""

from __future__ import annotations

from faultline.alarm_rule import alarm_rule
from faultline.alarms import AlarmPolicy
from faultline.detector.config import FitConfig
from faultline.detector.evaluation import InjectionReport, NotEvaluated, evaluate
from faultline.detector.fit import fit
from services.trainer.dataset import Dataset

Evaluation = InjectionReport | NotEvaluated

SKIPPED = NotEvaluated("it is switched off by the trainer's settings")


def evaluate_faults(dataset: Dataset, config: FitConfig) -> Evaluation:
    """Fit once more, without the end of the history, and see what faults injected there come to."""
    return evaluate(dataset.sensors, dataset.histories, config, fit, alarm_rule(AlarmPolicy()))
