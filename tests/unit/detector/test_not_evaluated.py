"""Histories on which no injected fault can be tried, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory, UnfitHistory
from faultline.detector.evaluation import AlarmRule, NotEvaluated, evaluate, measure
from faultline.detector.fit import Fit, FitConfig, fit

MakeHistory = Callable[..., MachineHistory]
DAY_MS = 86_400_000


def is_bad(score: NDArray[np.float64]) -> NDArray[np.bool_]:
    return score > 1.0


RULE = AlarmRule(rows=6, is_open=is_bad)


@pytest.fixture(scope="module")
def later(make_history: MakeHistory) -> MachineHistory:
    return make_history("pump-7", 7)


def test_pieces_between_silences_can_be_too_short(fitted: Fit, later: MachineHistory) -> None:
    times = later.timestamps_ms + DAY_MS * (np.arange(1_500) // 85)

    report = measure(fitted.detector, [replace(later, timestamps_ms=times)], RULE, seed=0)

    assert isinstance(report, NotEvaluated)
    assert "at most 85 rows in a row without a gap" in report.reason
    assert report.reason.endswith("two windows and the alarm rule take 86")


@pytest.mark.parametrize(
    ("rows", "config", "reason"),
    [
        (1, FitConfig(), "constant"),
        (120, FitConfig(), "at least 100 are needed"),
        (200, FitConfig(window_rows=20), "two windows and the alarm rule take 46"),
    ],
    ids=["one row", "too few to learn from", "too few to try faults on"],
)
def test_a_history_that_is_too_short_is_said_to_be(
    make_history: MakeHistory,
    sensors: tuple[str, ...],
    rows: int,
    config: FitConfig,
    reason: str,
) -> None:
    report = evaluate(sensors, [make_history("pump-1", 1, rows)], config, fit, RULE)

    assert isinstance(report, NotEvaluated)
    assert "the history is too short" in report.reason
    assert reason in report.reason


def test_a_stretch_without_values_cannot_be_evaluated(fitted: Fit, later: MachineHistory) -> None:
    silent = replace(later, values=np.full_like(later.values, np.nan))

    assert measure(fitted.detector, [silent], RULE, seed=0) == NotEvaluated(
        "no row of the history's last fifth can be scored"
    )


def test_what_no_fit_can_learn_from_is_not_evaluated(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    def refuses(*_: object) -> Fit:
        raise UnfitHistory("nothing to learn")

    report = evaluate(sensors, [make_history("pump-1", 1)], FitConfig(), refuses, RULE)

    assert isinstance(report, NotEvaluated)
    assert "nothing to learn" in report.reason
