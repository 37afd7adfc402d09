"""Candidates beside a champion, through whole trainings on ports in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faultline.alarms import AlarmPolicy
from faultline.events import ModelEventKind
from faultline.gate_report import Check, GateReport
from faultline.judge import Model
from faultline.labels import FaultLabel
from faultline.ports.registry import Stage
from faultline.ports.stores import RecordBatch
from faultline.readings import format_timestamp
from services.trainer.feedback import known_faults
from services.trainer.gate import KnownFaults

NAME = "faultline-pump"
START_MS = 1_795_000_000_000
STEP_MS = 1_000


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    made = make_world(trainer_evaluate_faults=True)
    made.store_history(rows=600)
    return made


def at(row: int) -> int:
    return START_MS + row * STEP_MS


def report(world: Any, version: str) -> GateReport:
    (decision,) = world.gate_log.list(NAME, version)
    assert isinstance(decision.report, GateReport)
    return decision.report


def check(world: Any, version: str, name: str) -> Check:
    return next(one for one in report(world, version).checks if one.name == name)


def live(world: Any) -> str:
    version: str = world.registry.production(NAME).version
    return version


def fault(world: Any, machine: str, start: int, end: int, size: float) -> None:
    """Replace stored rows by faulty ones."""
    rows = world.database._tables.readings[machine]
    for row in range(start, end):
        reading = rows[at(row)]
        sensors = {name: value + size for name, value in reading.sensors.items()}
        rows[at(row)] = type(reading)(
            machine_id=machine,
            machine_type=reading.machine_type,
            timestamp_ms=reading.timestamp_ms,
            sensors=sensors,
        )


def label(world: Any, machine: str, start: int, end: int) -> None:
    known = FaultLabel(machine_id=machine, kind="leak", start_ms=at(start), end_ms=at(end))
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, labels=[known]), lambda _: None
    )


def test_the_first_version_is_compared_with_nothing(world: Any) -> None:
    world.train()
    first = report(world, "1")
    assert (first.champion, first.notes) == (None, ())


def test_a_version_as_good_as_the_champion_takes_its_place(world: Any) -> None:
    world.train(end_ms=at(400))
    job = world.train()
    assert job.promoted
    assert live(world) == "2"
    assert report(world, "2").champion == "1"
    # The champion has learnt from the rows up to 400, the last fifth begins with 480.
    (note,) = report(world, "2").notes
    assert note.startswith("compared with version 1 on the most recent 2")
    assert "undisputed rows, which neither has learnt (2026-11-18T11:14:4" in note
    assert check(world, "2", "injected_recall").passed
    assert check(world, "2", "false_alarms").passed


def test_on_rows_that_the_champion_has_learnt_the_candidate_has_too(world: Any) -> None:
    world.train()
    world.train()
    (note,) = report(world, "2").notes
    assert "undisputed rows, which both have learnt (" in note
    # The same rows, settings and faults: not only about the same.
    recall = check(world, "2", "injected_recall")
    assert recall.value == pytest.approx(recall.limit + 0.05, abs=1e-12)
    alarms = check(world, "2", "false_alarms")
    assert alarms.value == pytest.approx(alarms.limit - 0.05, abs=1e-12)


def test_a_version_that_learnt_a_fault_is_refused_and_the_champion_stays(world: Any) -> None:
    world.train(end_ms=at(400))
    for machine in ("pump-1", "pump-2"):
        fault(world, machine, 450, 600, size=6.0)
    job = world.train()
    assert not job.promoted
    assert live(world) == "1"
    assert world.registry.version(NAME, "2").stage is Stage.ARCHIVED
    silenced = check(world, "2", "silenced_alarms")
    assert silenced.value == pytest.approx(0.24, abs=0.02)
    assert (silenced.limit, silenced.passed) == (0.1, False)
    assert "in alarm by version 1 and not by it" in job.decision
    tags = world.registry.version(NAME, "2").tags
    assert tags["gate"] == "refused"
    assert tags["gate_reason"] in job.decision
    assert world.events()[-1].kind is ModelEventKind.GATE_REFUSED
    assert "in alarm by version 1" in world.events()[-1].reason


def test_a_version_that_learnt_from_too_little_is_refused(world: Any) -> None:
    world.train()
    job = world.train(end_ms=at(60))
    assert not job.promoted
    assert live(world) == "1"
    assert "51 windows of one machine to learn from, at least 200 asked for" in job.decision


def test_a_version_that_finds_less_of_the_same_faults_is_refused(world: Any) -> None:
    world.train()
    job = world.train(hyperparameters={"k_max": 3, "window_rows": 100})
    assert not job.promoted
    assert not check(world, "2", "injected_recall").passed
    assert "version 1 finds" in job.decision
    # Its window is too long for the last fifth.
    assert "on the newest stored 1," in report(world, "2").notes[0]


def test_where_the_range_is_too_short_the_newest_stored_rows_are_compared_on(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(trainer_evaluate_faults=True)
    world.store_history(rows=800)
    world.train(end_ms=at(300), hyperparameters={"k_max": 3, "window_rows": 60})
    world.train(start_ms=at(300), end_ms=at(540))
    # Two windows of version 1 and the alarm rule are longer than a fifth of 240 rows.
    (note,) = report(world, "2").notes
    assert "on the newest stored 52" in note
    assert f"which neither has learnt ({format_timestamp(at(540))} to " in note
    assert check(world, "2", "false_alarms").reason.count(format_timestamp(at(540))) == 1
    assert check(world, "2", "injected_recall").value is not None


def test_rows_that_only_the_champion_has_learnt_are_taken_last_and_said_to_favour_it(
    world: Any,
) -> None:
    world.train(end_ms=at(300), hyperparameters={"k_max": 3, "window_rows": 60})
    world.train(start_ms=at(330))
    (note,) = report(world, "2").notes
    assert "which version 1 has learnt and this one has not, but for 0: that favours" in note
    assert np.isfinite(check(world, "2", "false_alarms").limit)


def test_a_version_whose_false_alarms_cannot_be_compared_is_refused(world: Any) -> None:
    world.train()
    world.registry.set_tags(
        NAME, "1", {"training_start": "2020-01-01", "training_end": "2020-02-01"}
    )
    # A fifth of the rows is too short for this window, and it has learnt from all the others.
    job = world.train(hyperparameters={"k_max": 3, "window_rows": 100})
    assert not job.promoted
    assert live(world) == "1"
    compared = check(world, "2", "compared")
    assert (compared.value, compared.limit, compared.passed) == (1.0, 2.0, False)
    assert "its false alarms (it has learnt from the rows itself)" in job.decision
    assert '--force --reason "..."' in job.decision
    assert check(world, "2", "injected_recall").value is not None


def test_a_version_told_to_look_at_less_is_refused(world: Any) -> None:
    world.train()
    job = world.train(sensors=("flow", "heat"))
    assert not job.promoted
    assert "version 1 looks at them: load" in job.decision
    assert "were not looked at" in report(world, "2").notes[0]


def test_a_sensor_that_is_no_longer_sent_is_said_and_refuses_nothing(world: Any) -> None:
    world.train(end_ms=at(300))
    for rows in world.database._tables.readings.values():
        for moment, reading in list(rows.items()):
            sensors = {name: value for name, value in reading.sensors.items() if name != "load"}
            rows[moment] = type(reading)(
                machine_id=reading.machine_id,
                machine_type=reading.machine_type,
                timestamp_ms=moment,
                sensors=sensors,
            )
    world.train()
    assert "no readings of load, which version 1 looks at" in report(world, "2").notes
    assert check(world, "2", "unwatched_sensors").passed


def test_a_champion_that_cannot_be_loaded_is_said_and_stops_nothing(world: Any) -> None:
    world.train()
    world.registry.set_tags(NAME, "1", {"bundle_sha256": "0" * 64})
    job = world.train()
    assert job.promoted
    second = report(world, "2")
    assert second.champion is None
    assert second.notes[0].startswith("not compared: version 1, in Production, cannot be loaded")
    assert second.notes[0] in job.decision


def test_without_the_evaluation_the_comparison_is_said_to_be_off(
    make_world: Callable[..., Any],
) -> None:
    world = make_world()
    world.store_history()
    world.train()
    world.train()
    (note,) = report(world, "2").notes
    assert "switched off by the trainer's settings" in note


def test_known_faults_are_counted_for_both(world: Any, tmp_path: Path) -> None:
    fault(world, "pump-1", 200, 215, size=3.0)
    label(world, "pump-1", 200, 215)
    world.train()
    found = check(world, "1", "known_faults")
    assert (found.value, found.limit) == (1.0, 0.0)
    sharp = world.bundle(tmp_path).detector
    dull = replace(sharp, boundary=100 * sharp.boundary)
    known = known_faults(
        world.store, "pump", Model(NAME, "candidate", dull), Model(NAME, "1", sharp), AlarmPolicy()
    )
    assert known == KnownFaults(faults=1, by_candidate=0, by_champion=1)


def test_a_known_fault_without_readings_is_no_feedback(world: Any) -> None:
    label(world, "pump-1", 5_000, 5_100)
    label(world, "valve-1", 100, 110)
    world.train()
    assert not [one for one in report(world, "1").checks if one.name == "known_faults"]


def test_the_run_has_the_report_for_programs_and_for_people(world: Any, tmp_path: Path) -> None:
    world.train()
    world.train()
    files = next(run.files for run in world.runs.values() if b"version 1" in run.files["gate.md"])
    assert b'"champion": "1"' in files["gate.json"]
    assert b'"decision": "passed"' in files["gate.json"]
    assert b"which both have learnt (" in files["gate.md"]


def test_rows_of_a_champion_of_unknown_history_count_as_learnt(world: Any) -> None:
    world.train(end_ms=at(400))
    world.registry.set_tags(NAME, "1", {"training_end": "soon"})
    world.train()
    assert "which both have learnt (" in report(world, "2").notes[0]
    assert np.isfinite(check(world, "2", "false_alarms").limit)
