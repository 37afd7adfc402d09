"""What holds and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from faultline.client import Comparison
from faultline.demo import report
from faultline.demo.expectations import judge_expectations
from faultline.demo.lifecycle import (
    ChangeReport,
    RefusalReport,
    ReloadReport,
    RollbackReport,
)
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
from faultline.demo.undoing import ROLLBACK_REASON

MODEL, HOST_MODEL = "faultline-pump", "faultline-host"


def change(version: str, previous: str, kind: str, reason: str) -> ChangeReport:
    return ChangeReport(
        version=version,
        previous_version=previous,
        at="2026-11-21T08:00:00.000Z",
        kind=kind,
        actor="demo",
        reason=reason,
    )


ROLLED_BACK = RollbackReport(
    from_version="3",
    to_version="1",
    judging="1",
    refusal="",
    history=(
        change("1", "3", "rollback", ROLLBACK_REASON),
        change("3", "1", "promotion", "better"),
        change("1", "none", "promotion", "the first"),
    ),
)

MACHINE = MachineReport(
    machine_id="pump-01",
    machine_type="pump",
    sent_by="http",
    sent=30,
    stored=30,
    judged=30,
    by_status={"no_model": 10, "normal": 20},
    by_version={"none": 10, "1": 10, "3": 10},
    versions_in_order=("none", "1", "3"),
    nameless_after_first_version=0,
)
VERSION = VersionReport(
    name=MODEL,
    version="1",
    stage="Production",
    aliases=(),
    silhouette=0.6,
    clusters=3,
    gate="passed",
    verdicts=10,
)
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
    why="pump-01: flow 36.5, expected 40.0 to 42.0 (80 % of the deviation)",
    names_a_faulty_sensor=True,
)
ALARM = AlarmReport(
    alarm_id="a",
    machine_id="pump-01",
    opened_at="2026-11-21T08:00:12.000Z",
    closed_at=None,
    peak_score=2.0,
    sensors=("flow",),
    why="pump-01: flow 36.5, expected 40.0 to 42.0 (80 % of the deviation)",
    bad_readings=9,
    model_version="1",
)
RECOMPUTED = RecomputedReport(
    machine_id="pump-01",
    verdicts=30,
    scores=20,
    versions=("1", "3"),
    differing=0,
    largest_relative_difference=0.0,
)
GOOD = Observed(
    machines=(MACHINE,),
    alarms=(ALARM,),
    faults=(FAULT,),
    false_alarms=(),
    quiet_machines=("pump-02",),
    versions=(
        VERSION,
        msgspec.structs.replace(VERSION, version="2", stage="Staging", verdicts=0),
        msgspec.structs.replace(VERSION, version="3", stage="Archived"),
        msgspec.structs.replace(VERSION, name=HOST_MODEL, stage="Production"),
    ),
    recomputed=(RECOMPUTED,),
    throughput=ThroughputReport(readings=30, sent_per_s=3, stored_per_s=2, judged_per_s=1),
    reload=ReloadReport(
        model_name=MODEL,
        from_version="1",
        to_version="3",
        readings_sent_meanwhile=5,
        seconds_to_first_verdict=0.5,
        readings_by_two_versions=0,
    ),
    refusal=RefusalReport(
        version="2",
        gate="refused",
        reason="8.00% of the rows in alarm, by version 1 0.10%",
        production="1",
        judging="1",
    ),
    comparison=Comparison(
        champion_version="1",
        challenger_version="3",
        readings=500,
        agreement=0.99,
        champion_failure_rate=0.01,
        challenger_failure_rate=0.01,
        champion_alarms_per_1000=1.0,
        challenger_alarms_per_1000=0.0,
    ),
    rollback=ROLLED_BACK,
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


def broken(observed: Observed) -> list[str]:
    judged = judge_expectations(observed, MODEL, HOST_MODEL)
    return [expectation.name for expectation in judged if not expectation.holds]


def changed(**changes: Any) -> Observed:
    return msgspec.structs.replace(GOOD, **changes)


def part(name: str, **changes: Any) -> Observed:
    return changed(**{name: msgspec.structs.replace(getattr(GOOD, name), **changes)})


def machine(**changes: Any) -> tuple[MachineReport]:
    return (msgspec.structs.replace(MACHINE, **changes),)


def test_everything_holds_when_all_went_well() -> None:
    assert broken(GOOD) == []


def test_a_missed_host_fault_is_no_failure() -> None:
    assert not GOOD.host.detected
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("observed", "name"),
    [
        (changed(machines=machine(stored=29)), "every reading sent"),
        (changed(machines=machine(judged=31)), "every reading sent"),
        (changed(machines=machine(sent=0, stored=0, judged=0)), "every reading sent"),
        (changed(machines=machine(nameless_after_first_version=1)), "after version 1"),
        (
            changed(
                versions=(msgspec.structs.replace(VERSION, stage="Archived"), *GOOD.versions[1:])
            ),
            "faultline-pump: after the rollback",
        ),
        (
            changed(
                versions=(
                    VERSION,
                    msgspec.structs.replace(VERSION, version="2"),
                    *GOOD.versions[2:],
                )
            ),
            "faultline-pump: after the rollback",
        ),
        (changed(versions=GOOD.versions[:3]), "faultline-host: one version"),
        (changed(machines=machine(versions_in_order=("1", "3", "1"))), "no machine's verdicts"),
        (part("refusal", gate="passed"), "a worse candidate"),
        (part("refusal", reason="8.00% of the rows in alarm"), "a worse candidate"),
        (part("refusal", production="2"), "a worse candidate"),
        (part("refusal", judging="2"), "a worse candidate"),
        (changed(comparison=None), "the challenger is compared"),
        (part("comparison", challenger_version="2"), "the challenger is compared"),
        (part("reload", seconds_to_first_verdict=None), "the predictor takes over"),
        (part("reload", readings_by_two_versions=1), "the predictor takes over"),
        (part("rollback", to_version="3"), "a rollback"),
        (part("rollback", judging="3"), "a rollback"),
        (part("rollback", history=ROLLED_BACK.history[1:]), "a rollback"),
        (
            part("rollback", history=(change("1", "3", "rollback", ""), *ROLLED_BACK.history[1:])),
            "a rollback",
        ),
        (changed(machines=machine(versions_in_order=("1", "none"))), "no machine's verdicts"),
        (changed(faults=(msgspec.structs.replace(FAULT, detected=False),)), "every fault"),
        (changed(quiet_machines=("pump-01",)), "machines without a fault"),
        (
            changed(recomputed=(msgspec.structs.replace(RECOMPUTED, differing=1),)),
            "every verdict is wholly",
        ),
        (
            changed(
                recomputed=(msgspec.structs.replace(RECOMPUTED, largest_relative_difference=1e-8),)
            ),
            "every verdict is wholly",
        ),
        (changed(recomputed=()), "every verdict is wholly"),
        (
            part("reload", readings_sent_meanwhile=0),
            "the predictor takes over",
        ),
    ],
)
def test_one_thing_wrong_breaks_the_one_expectation_about_it(observed: Observed, name: str) -> None:
    [only] = broken(observed)
    assert only.startswith(name)


def test_an_expectation_that_does_not_hold_says_what_is_wrong() -> None:
    judged = judge_expectations(changed(machines=machine(stored=29)), MODEL, HOST_MODEL)
    assert judged[0].detail == "pump-01: 30 sent, 29 stored, 30 judged"


def test_a_missed_fault_that_is_not_expected_breaks_nothing() -> None:
    missed = msgspec.structs.replace(FAULT, detected=False, expected=False)
    assert broken(changed(faults=(missed,))) == []


def test_the_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = Report(
        faultline_version="0.1.0",
        mode="plant",
        started_at="2026-11-21T08:00:00.000Z",
        took_s=90.0,
        cores=2,
        holds=True,
        expectations=judge_expectations(GOOD, MODEL, HOST_MODEL),
        steps=(),
        observed=GOOD,
    )
    report.write(written, tmp_path / "demo-report.json")
    assert report.read(tmp_path / "demo-report.json") == written
