"""The report of a demonstration as a person reads it."""

from __future__ import annotations

import io

import pytest
from msgspec import structs
from rich.console import Console

from faultline.demo.expectations import judge_expectations
from faultline.demo.lifecycle import RefusalReport, ReloadReport, RollbackReport
from faultline.demo.report import (
    AlarmReport,
    FaultReport,
    HostReport,
    MachineReport,
    Observed,
    RecomputedReport,
    Report,
    ThroughputReport,
    VersionReport,
)
from faultline.demo.terminal import show

WHY = "pump-01: flow 36.5, expected 40.0 to 42.0 (80 % of the deviation)"
FAULT = FaultReport(
    machine_id="pump-01",
    kind="leak",
    start="2026-11-21T08:00:00.000Z",
    end="2026-11-21T08:10:00.000Z",
    hard=False,
    expected=True,
    detected=True,
    delay_s=12.0,
    alarm_ids=("a",),
    sensors=("flow",),
    named_sensors=("flow",),
    why=WHY,
    names_a_faulty_sensor=True,
)
MISSED = structs.replace(FAULT, kind="wear", detected=False, delay_s=None, alarm_ids=(), why="")
FALSE_ALARM = AlarmReport(
    alarm_id="b",
    machine_id="pump-02",
    opened_at="2026-11-21T08:00:12.000Z",
    closed_at=None,
    peak_score=2.0,
    sensors=("heat",),
    why="pump-02: heat 51.5, expected 49.0 to 50.0 (70 % of the deviation)",
    bad_readings=9,
    model_version="1",
)
OBSERVED = Observed(
    machines=(
        MachineReport(
            machine_id="pump-01",
            machine_type="pump",
            sent_by="http",
            sent=1_030,
            stored=1_030,
            judged=1_030,
            by_status={"no_model": 1_000, "normal": 30},
            by_version={"none": 1_000, "1": 30},
            versions_in_order=("none", "1"),
            nameless_after_first_version=0,
        ),
    ),
    alarms=(),
    faults=(FAULT, MISSED),
    false_alarms=(FALSE_ALARM,),
    quiet_machines=(),
    versions=(
        VersionReport(
            name="faultline-pump",
            version="2",
            stage="Archived",
            aliases=(),
            silhouette=0.5,
            clusters=3,
            gate="refused",
            verdicts=0,
        ),
    ),
    recomputed=(
        RecomputedReport(
            machine_id="pump-01",
            verdicts=1_030,
            scores=30,
            versions=("1",),
            differing=0,
            largest_relative_difference=0.0,
        ),
    ),
    throughput=ThroughputReport(readings=1_000, sent_per_s=3, stored_per_s=2, judged_per_s=1),
    reload=ReloadReport(
        model_name="faultline-pump",
        from_version="1",
        to_version="2",
        readings_sent_meanwhile=5,
        seconds_to_first_verdict=0.5,
        readings_by_two_versions=0,
    ),
    refusal=RefusalReport(
        version="2", gate="refused", reason="too loud", production="1", judging="1"
    ),
    comparison=None,
    rollback=RollbackReport(from_version="3", to_version="1", judging="1", refusal="", history=()),
    host=HostReport(
        machine_id="here",
        start="2026-11-21T08:00:00.000Z",
        end="2026-11-21T08:00:10.000Z",
        cores=2,
        memory_bytes=1,
        detected=False,
        delay_s=None,
        named_sensors=(),
        highest_score=0.9,
        other_alarms=0,
    ),
)


@pytest.fixture(scope="module")
def shown() -> str:
    text = io.StringIO()
    report = Report(
        faultline_version="0",
        mode="plant",
        started_at="2026-11-21T08:00:00.000Z",
        took_s=1.0,
        cores=2,
        holds=False,
        expectations=judge_expectations(OBSERVED, "faultline-pump", "faultline-host"),
        steps=(),
        observed=OBSERVED,
    )
    show(report, Console(file=text, width=200))
    return text.getvalue()


@pytest.mark.parametrize(
    "legend",
    [
        "no model: sent before version 1 existed; other: warming up, late, duplicate",
        "(hard): reported, not demanded",
        "sent: 1,000 of the history + 30 live = 1,030",
    ],
)
def test_the_tables_are_explained(shown: str, legend: str) -> None:
    assert legend in shown


def test_a_fault_that_was_found_has_the_sentence_of_its_alarm(shown: str) -> None:
    assert f"  leak: {WHY}\n" in shown
    assert "  wear: " not in shown


def test_a_false_alarm_says_why(shown: str) -> None:
    assert f"  at {FALSE_ALARM.opened_at}, score 2.00: {FALSE_ALARM.why}\n" in shown


def test_one_machine_is_not_called_machines(shown: str) -> None:
    assert "1,030 readings of 1 machine\n" in shown


def test_equal_scores_have_a_largest_difference_of_0(shown: str) -> None:
    assert "the largest difference is 0\n" in shown


def test_a_host_without_an_alarm_has_the_reason(shown: str) -> None:
    assert "no alarm: not clearly busier than in training (reported, not demanded)" in shown


def test_the_versions_have_what_the_gate_said(shown: str) -> None:
    (line,) = [one for one in shown.splitlines() if one.startswith("faultline-pump  2")]
    assert line.split()[2:] == ["Archived", "refused", "0.5000", "3", "0"]
