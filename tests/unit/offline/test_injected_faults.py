"""What a fit offline finds of injected faults, and how that is told."""

from __future__ import annotations

import pytest

from faultline.detector.evaluation import InjectionReport, NotEvaluated
from faultline.detector.injection import FaultKind
from faultline.offline import summary
from faultline.offline.training import Learnt, evaluated


@pytest.fixture(scope="module")
def measured(learnt: Learnt) -> Learnt:
    return evaluated(learnt)


def test_every_kind_of_fault_is_told_with_its_recall(measured: Learnt) -> None:
    block = summary.injected_faults(measured)
    for line, kind in zip(block.lines, FaultKind, strict=False):
        assert line.startswith(f"{kind.replace('_', ' ')}: ")
        assert "% of" in line
    assert "false alarms per machine-day" in block.lines[-2]


def test_a_machine_is_told_the_same(measured: Learnt) -> None:
    report = measured.evaluation
    assert isinstance(report, InjectionReport)
    content = summary.injected_faults(measured).content
    assert content["recall"] == report.recall
    assert [one["kind"] for one in content["by_kind"]] == list(FaultKind)


def test_faults_that_are_large_are_found(measured: Learnt) -> None:
    assert isinstance(measured.evaluation, InjectionReport)
    recall = {(one.kind, one.strength): one.recall for one in measured.evaluation.by_strength}
    assert recall[FaultKind.OFFSET, 8.0] == 1.0


def test_without_an_evaluation_that_is_told(learnt: Learnt) -> None:
    block = summary.injected_faults(learnt)
    assert isinstance(learnt.evaluation, NotEvaluated)
    assert block.lines == ["not evaluated: it was not asked for"]
    assert block.content == {"not_evaluated": "it was not asked for"}
