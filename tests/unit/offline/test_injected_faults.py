"""What a fit offline finds of injected faults, and how that is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faultline.detector.evaluation import InjectionReport, NotEvaluated
from faultline.detector.injection import FaultKind
from faultline.offline import prospects
from faultline.offline.training import Learnt, evaluated


@pytest.fixture(scope="module")
def measured(learnt: Learnt) -> Learnt:
    return evaluated(learnt)


def test_every_kind_of_fault_is_told_with_its_recall(measured: Learnt) -> None:
    block = prospects.injected_faults(measured)
    for line, kind in zip(block.lines, FaultKind, strict=False):
        assert line.startswith(f"{kind.replace('_', ' ')}: ")
        assert " % of " in line
    assert any("typically after " in line and line.endswith(" s") for line in block.lines)


@pytest.mark.parametrize(
    ("alarms", "machine_days", "told"),
    [
        (0, 12 / 1_440, "none in 12 min of held-out running"),
        (2, 0.5, "2 in 12 h of held-out running"),
        (0, 72.0, "none in 72 days of held-out running"),
        (9, 3.0, "9 in 3 days of held-out running, 3 per machine-day"),
    ],
)
def test_false_alarms_are_no_rate_where_less_than_a_day_was_watched(
    measured: Learnt, alarms: int, machine_days: float, told: str
) -> None:
    assert isinstance(measured.evaluation, InjectionReport)
    report = replace(measured.evaluation, false_alarms=alarms, machine_days=machine_days)
    block = prospects.injected_faults(replace(measured, evaluation=report))
    assert f"false alarms meanwhile: {told}" in block.lines


def test_delays_are_told_in_the_unit_that_suits_them(measured: Learnt) -> None:
    assert isinstance(measured.evaluation, InjectionReport)
    first, *others = measured.evaluation.by_kind
    slow = replace(first, recall=0.5, delay_s=28_800.0)
    report = replace(measured.evaluation, by_kind=(slow, replace(first, delay_s=0.0), *others))
    lines = prospects.injected_faults(replace(measured, evaluation=report)).lines
    assert lines[0].endswith(f"50 % of {first.trials} found, typically after 8 h")
    assert lines[1].endswith("found, typically at once")


def test_a_machine_is_told_the_same(measured: Learnt) -> None:
    report = measured.evaluation
    assert isinstance(report, InjectionReport)
    content = prospects.injected_faults(measured).content
    assert content["recall"] == report.recall
    assert [one["kind"] for one in content["by_kind"]] == list(FaultKind)


def test_faults_that_are_large_are_found(measured: Learnt) -> None:
    assert isinstance(measured.evaluation, InjectionReport)
    recall = {(one.kind, one.strength): one.recall for one in measured.evaluation.by_strength}
    assert recall[FaultKind.OFFSET, 8.0] == 1.0


def test_without_an_evaluation_that_is_told(learnt: Learnt) -> None:
    block = prospects.injected_faults(learnt)
    assert isinstance(learnt.evaluation, NotEvaluated)
    assert block.lines == ["not evaluated: it was not asked for"]
    assert block.content == {"not_evaluated": "it was not asked for"}


@pytest.mark.parametrize(("rate", "warned"), [(0.005, False), (0.02, True)])
def test_far_more_false_alarms_than_asked_for_come_with_what_to_do(
    learnt: Learnt, rate: float, warned: bool
) -> None:
    told = prospects.false_alarms(
        replace(learnt, fit=replace(learnt.fit, held_out_alarm_rate=rate))
    )
    assert any("10 times the 0.20 % asked for" in line for line in told.lines) is warned
