"""What a training leads to: a version, its bundle, and whether it comes into Production."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from faultline.detector import RowState, Window
from faultline.events import ModelEventKind
from faultline.ports.jobs import JobState
from faultline.ports.registry import Stage

NAME = "faultline-pump"
START_MS = 1_795_000_000_000
STEP_MS = 1_000


def test_a_training_registers_a_version_and_puts_it_into_production(world: Any) -> None:
    job = world.train()
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert (job.model_name, job.model_version, job.promoted) == (NAME, "1", True)
    production = world.registry.production(NAME)
    assert production.version == "1"
    assert production.run_id == job.run_id
    assert job.decision.startswith("the gate passed: ")


def test_the_bundle_scores_ordinary_rows_low_and_others_high(world: Any, tmp_path: Path) -> None:
    world.train()
    bundle = world.bundle(tmp_path)
    rows = world.database.fleet_store().readings("pump-1")
    detector = bundle.detector
    ordinary, _ = detector.score(Window.empty(detector.sensors), rows.timestamps_ms, rows.values)
    broken, _ = detector.score(
        Window.empty(detector.sensors), rows.timestamps_ms, rows.values + np.array([0.0, 40.0, 0.0])
    )
    scored = ordinary.state == RowState.SCORED
    assert np.mean(ordinary.score[scored] > 1) < 0.1
    assert np.all(broken.score[scored] > 1)


def test_the_version_knows_the_sum_of_its_bundle(world: Any, tmp_path: Path) -> None:
    world.train()
    assert world.registry.version(NAME, "1").tags["bundle_sha256"] == world.bundle(tmp_path).sha256


def test_a_promotion_is_logged_and_announced(world: Any) -> None:
    world.train()
    (row,) = world.log.list(NAME)
    assert (row.to_version, row.from_version, row.actor) == ("1", None, "gate")
    assert [(one.kind, one.model_version) for one in world.events()] == [
        (ModelEventKind.REGISTERED, "1"),
        (ModelEventKind.GATE_PASSED, "1"),
        (ModelEventKind.PROMOTED, "1"),
    ]


def test_a_second_version_takes_the_place_of_the_first(world: Any) -> None:
    world.train()
    world.train()
    assert world.registry.version(NAME, "1").stage is Stage.ARCHIVED
    assert world.registry.production(NAME).version == "2"
    assert world.log.list(NAME)[0].from_version == "1"
    assert [(one.kind, one.model_version) for one in world.events()[3:]] == [
        (ModelEventKind.REGISTERED, "2"),
        (ModelEventKind.GATE_PASSED, "2"),
        (ModelEventKind.PROMOTED, "2"),
        (ModelEventKind.ARCHIVED, "1"),
    ]


def test_a_version_that_is_to_be_held_stays_in_staging(world: Any) -> None:
    job = world.train(promotion="hold")
    assert (job.state, job.promoted) == (JobState.SUCCEEDED, False)
    assert "held in Staging" in job.decision
    assert world.registry.version(NAME, "1").aliases == {"staging"}
    assert world.registry.production(NAME) is None


def test_a_refused_version_is_archived_and_says_why(make_world: Callable[..., Any]) -> None:
    world = make_world(gate_min_silhouette=0.99)
    world.store_history()
    job = world.train()
    assert (job.state, job.promoted) == (JobState.SUCCEEDED, False)
    assert job.decision.startswith("the gate refused: silhouette 0.")
    assert world.registry.version(NAME, "1").tags["gate"] == "refused"
    assert world.registry.version(NAME, "1").stage is Stage.ARCHIVED
    assert world.registry.version(NAME, "1").aliases == set()
    assert world.log.list(NAME) == []
    assert [one.kind for one in world.events()] == [
        ModelEventKind.REGISTERED,
        ModelEventKind.GATE_REFUSED,
    ]


def test_a_refused_version_leaves_the_one_in_production(make_world: Callable[..., Any]) -> None:
    world = make_world(gate_min_rows=250)
    world.store_history()
    world.train()
    world.train(end_ms=START_MS + 200 * STEP_MS)
    assert world.registry.production(NAME).version == "1"


def test_little_history_of_many_machines_is_little_history(
    make_world: Callable[..., Any],
) -> None:
    world = make_world()
    world.store_history(machines=8, rows=94)
    job = world.train()
    assert not job.promoted
    assert "85 windows of one machine to learn from, at least 200" in job.decision


def test_one_cluster_has_no_silhouette(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_rows(np.random.default_rng(0).normal(size=(300, 3)))
    # No candidate with clusters this large on both sides of a single cloud.
    job = world.train(hyperparameters={"smallest_cluster_share": 0.499, "k_min": 3, "k_max": 3})
    version = world.registry.version(NAME, "1")
    assert job.state is JobState.SUCCEEDED
    assert (version.tags["k"], version.tags["silhouette"]) == ("1", "undefined")
    assert "one cluster (its silhouette is undefined)" in version.description
    metrics = [one.key for one in world.runs.popitem()[1].run.metrics]
    assert "silhouette" not in metrics
