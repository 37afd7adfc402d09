"""The evaluation by injected faults, by the alarm rule that people see. It registers nothing."""

from __future__ import annotations

from typing import NamedTuple

from faultline.detector.config import FitConfig
from faultline.detector.evaluation import (
    AlarmRule,
    InjectionReport,
    NotEvaluated,
    StandIn,
    fit_stand_in,
    measure_stand_in,
)
from faultline.detector.fit import fit
from services.trainer.dataset import Dataset

Evaluation = InjectionReport | NotEvaluated

SKIPPED = NotEvaluated("it is switched off by the trainer's settings")


class Evaluated(NamedTuple):
    """What came of it, and the detector that stood in, with the rows it was measured on."""

    report: Evaluation
    stand_in: StandIn | NotEvaluated


def evaluate_faults(dataset: Dataset, config: FitConfig, rule: AlarmRule) -> Evaluated:
    """Fit once more, without the end of the history, and see what faults injected there come to.

    Parameters
    ----------
    rule
        By which the predictor raises alarms.
    """
    stand_in = fit_stand_in(dataset.sensors, dataset.histories, config, fit)
    if isinstance(stand_in, NotEvaluated):
        return Evaluated(stand_in, stand_in)
    return Evaluated(measure_stand_in(stand_in, dataset.sensors, rule, config.seed), stand_in)
