from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.detector.evaluation import (
    AlarmRule,
    InjectionReport,
    NotEvaluated,
    measure,
    measure_alike,
)
from faultline.detector.fit import Fit, FitConfig, fit

MakeHistory = Callable[..., MachineHistory]


def first_bad(score: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(score > 1.0)


RULE = AlarmRule(rows=1, is_open=first_bad)


@pytest.fixture(scope="module")
def later(make_history: MakeHistory) -> list[MachineHistory]:
    return [make_history("pump-7", 7)]


def recalls(reports: list[InjectionReport | NotEvaluated]) -> list[float]:
    found = []
    for report in reports:
        assert isinstance(report, InjectionReport)
        assert report.recall is not None
        found.append(report.recall)
    return found


def test_a_detector_comes_out_the_same_alone_and_beside_itself(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    detector = fitted.detector
    alone = measure(detector, later, RULE, seed=3)
    both = measure_alike([detector, detector], detector.sensors, later, rule=RULE, seed=3)
    assert both == [alone, alone]


def test_columns_in_another_order_and_unknown_ones_change_nothing(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    detector = fitted.detector
    sensors = ("unknown", *reversed(detector.sensors))
    turned = [
        MachineHistory(
            one.machine_id,
            one.timestamps_ms,
            np.column_stack([np.full(len(one.values), 5.0), one.values[:, ::-1]]),
        )
        for one in later
    ]
    (there,) = measure_alike([detector], sensors, turned, rule=RULE, seed=3)
    assert isinstance(there, InjectionReport)
    (here,) = measure_alike([detector], detector.sensors, later, rule=RULE, seed=3)
    assert isinstance(here, InjectionReport)
    assert (there.false_alarms, there.alarm_share) == (here.false_alarms, here.alarm_share)


def test_who_looks_more_coarsely_finds_less_of_the_same_faults(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    fine = fitted.detector
    coarse = replace(fine, boundary=4 * fine.boundary)
    sharp, dull = recalls(measure_alike([fine, coarse], fine.sensors, later, rule=RULE, seed=3))
    assert dull < sharp - 0.1


def test_faults_of_a_sensor_that_one_does_not_know_count_against_it(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    whole = fitted.detector
    blind = fit(
        whole.sensors[:1],
        [MachineHistory(one.machine_id, one.timestamps_ms, one.values[:, :1]) for one in later],
        FitConfig(k_max=2),
    ).detector
    seeing, unseeing = recalls(
        measure_alike([whole, blind], whole.sensors, later, rule=RULE, seed=3)
    )
    assert unseeing < seeing - 0.1


def test_who_can_score_nothing_is_not_evaluated_while_the_other_is(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    detector = fitted.detector
    stranger = replace(detector, sensors=tuple(f"other {name}" for name in detector.sensors))
    known, unknown = measure_alike([detector, stranger], detector.sensors, later, rule=RULE, seed=3)
    assert isinstance(known, InjectionReport)
    assert isinstance(unknown, NotEvaluated)
