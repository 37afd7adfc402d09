"""What a run and its version say of a training."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from faultline.labels import FaultLabel
from faultline.ports.jobs import JobState
from faultline.ports.registry import ScoringForm
from faultline.ports.stores import RecordBatch
from faultline.readings import parse_timestamp

NAME = "faultline-pump"
START_MS = 1_795_000_000_000


def test_a_version_says_where_it_comes_from(world: Any) -> None:
    job = world.train(requested_by="ada")
    tags = world.registry.version(NAME, "1").tags
    assert tags["job_id"] == job.job_id
    assert tags["git_commit"] == "c" * 40
    assert tags["training_start"] == "2026-11-18T11:06:40.000Z"
    assert tags["training_end"] == "2026-11-18T11:11:39.000Z"
    assert tags["trigger"] == "by hand"
    assert {"model_type", "use_case", "training_date", "semantic_version"} <= set(tags)
    assert len(tags["data_version"]) == 64


def test_what_nobody_compares_versions_by_is_a_tag_of_the_run_alone(world: Any) -> None:
    world.train(requested_by="ada")
    run = world.runs.popitem()[1].run
    there = {"requested_by": "ada", "machine_type": "pump"}
    assert there.items() <= run.tags.items()
    version = world.registry.version(NAME, "1").tags
    assert not {*there, "distance", "training_s"} & set(version)
    assert len(version) <= 26


def test_a_run_says_in_mlflows_own_words_who_made_it_and_when(world: Any) -> None:
    world.train(requested_by="ada")
    run = world.runs.popitem()[1].run
    assert run.tags["mlflow.user"] == "ada"
    assert run.tags["mlflow.source.name"].startswith("faultline-trainer ")
    assert run.tags["mlflow.source.type"] == "JOB"
    assert run.tags["mlflow.source.git.commit"] == "c" * 40
    ended_ms = parse_timestamp(run.tags["training_date"])
    assert run.began_at_ms is not None
    assert START_MS < run.began_at_ms < ended_ms


def test_a_version_says_how_good_it_is(world: Any) -> None:
    world.train()
    tags = world.registry.version(NAME, "1").tags
    run = world.runs.popitem()[1].run
    metrics = {one.key: one.value for one in run.metrics}
    assert float(tags["silhouette"]) == metrics["silhouette"]
    assert 0.5 < float(tags["silhouette"]) < 1
    assert run.params["silhouette_metric"] == "euclidean"
    assert int(run.params["silhouette_rows"]) > 100
    assert tags["k"] == "2"
    assert tags["gate"] == "passed"
    assert "silhouette" in tags["gate_reason"]


def test_a_version_has_the_figures_of_its_run(world: Any) -> None:
    world.train()
    tags = world.registry.version(NAME, "1").tags
    metrics = world.runs.popitem()[1].run.metrics
    values = {one.key: one.value for one in metrics}
    for name in ("silhouette", "stability", "rows"):
        assert float(tags[name]) == values[name]
    shares = [one.value for one in metrics if one.key == "cluster_share"]
    assert [float(share) for share in tags["cluster_shares"].split(", ")] == pytest.approx(
        shares, abs=1e-4
    )
    assert sum(shares) == pytest.approx(1.0)
    assert values["training_s"] > 0
    assert values["training_cpu_s"] > 0


def test_a_run_says_what_was_left_out(world: Any) -> None:
    labels = (FaultLabel(machine_id="pump-1", kind="leak", start_ms=START_MS + 290_000),)
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, labels=labels), lambda _: None
    )
    world.train()
    version = world.registry.version(NAME, "1")
    assert "Left out (1 fault label): pump-1 from 2026-11-18T11:11:30.000Z on (leak)" in (
        version.description
    )
    logged = world.runs.popitem()[1]
    assert logged.run.params["left_out"] == "fault label: 1 (10 readings)"
    assert {one.key: one.value for one in logged.run.metrics}["rows_left_out"] == 10
    assert logged.files["dataset/left_out.csv"].decode().splitlines() == [
        "cause,what,machine_id,start,end,readings",
        "fault label,leak,pump-1,2026-11-18T11:11:30.000Z,,10",
    ]


def test_semantic_versions_tell_how_far_a_version_is_from_the_last(world: Any) -> None:
    world.train()
    world.train()
    world.train(hyperparameters={"k_max": 2})
    world.train(hyperparameters={"k_max": 2}, sensors=("flow", "heat"))
    tags = [one.tags["semantic_version"] for one in reversed(world.registry.versions(NAME))]
    assert tags == ["1.0.0", "1.0.1", "1.1.0", "2.0.0"]


def test_the_registry_is_told_of_the_dataset_and_of_how_to_score(
    world: Any, tmp_path: Path
) -> None:
    world.train()
    assert world.bundle(tmp_path).manifest.step_ms == 1_000
    run = world.runs.popitem()[1].run
    assert run.dataset is not None
    assert run.dataset.digest == run.tags["data_version"]
    assert run.dataset.profile["rows"] == 600
    assert run.scoring == ScoringForm(("flow", "heat", "load"), 1_000)
    assert run.tags["mlflow.note.content"] == world.registry.version(NAME, "1").description


def test_a_description_can_be_read(world: Any) -> None:
    world.train()
    text = world.registry.version(NAME, "1").description
    for told in (
        "600 readings of 2 machines of type pump (pump-1, pump-2)",
        "3 sensors: flow, heat, load.",
        "2 clusters, silhouette 0.",
        "Boundary at the distance",
        "Distance: ",
        "With a baseline of their own: pump-1, pump-2.",
        "Gate: passed",
        "Semantic version 1.0.0.",
        "What tells them apart most: ",
        "Limits: ",
    ):
        assert told in text
    assert text.index("**Gate: passed**\n\n- ") < text.index("**What it has learnt**\n\n- ")


def test_a_run_has_a_metric_for_every_candidate(world: Any) -> None:
    world.train(hyperparameters={"k_max": 8})
    metrics = world.runs.popitem()[1].run.metrics
    steps = {
        figure: [one.step for one in metrics if one.key == f"candidate_{figure}"]
        for figure in ("silhouette", "separation", "stability")
    }
    assert steps["silhouette"] == steps["separation"] == [2, 3, 4, 5, 6, 7, 8]
    # A candidate that is refused for another reason is not asked for it.
    assert 2 in steps["stability"]
    assert all(math.isfinite(one.value) for one in metrics)


def test_a_run_has_its_evidence(world: Any) -> None:
    world.train()
    logged = world.runs.popitem()[1]
    assert logged.run.experiment == NAME
    assert set(logged.files) == {
        "model/manifest.json",
        "model/arrays.npz",
        "model/golden.npz",
        "model/reference.npz",
        "plots/drawn.png",
        "cluster_profiles.json",
        "gate.json",
        "gate.md",
        "injected_faults.json",
        "dataset.json",
        "dataset/readings.parquet",
        "dataset/recipe.json",
        "dataset/left_out.csv",
    }
    dataset = msgspec.json.decode(logged.files["dataset.json"])
    assert [one["rows"] for one in dataset["machines"]] == [300, 300]
    assert [one["own_baseline"] for one in dataset["machines"]] == [True, True]
    assert dataset["distance"]["reason"].startswith(dataset["distance"]["kind"])
    assert msgspec.json.decode(logged.files["gate.json"])["passed"] is True


@pytest.fixture
def evaluating(make_world: Callable[..., Any]) -> Any:
    world = make_world(trainer_evaluate_faults=True)
    world.store_history()
    return world


def test_a_version_says_what_it_finds_of_injected_faults(evaluating: Any) -> None:
    evaluating.train()
    tags = evaluating.registry.version(NAME, "1").tags
    metrics = {one.key: one.value for one in evaluating.runs.popitem()[1].run.metrics}
    assert 0.2 < float(tags["injected_recall"]) == metrics["injected_recall"] < 1
    price = float(tags["false_alarms_per_machine_day"])
    assert price == metrics["false_alarms_per_machine_day"]
    assert tags["false_alarms_basis"].startswith("extrapolated from ")
    assert tags["false_alarms_basis"].endswith(" machine-days")
    assert metrics["false_alarms"] / metrics["evaluated_machine_days"] == pytest.approx(price)
    assert 0 < metrics["evaluation_fit_s"] < metrics["evaluation_s"]


def test_a_run_has_recall_and_delay_of_every_kind_of_fault(evaluating: Any) -> None:
    evaluating.train()
    metrics = {one.key: one.value for one in evaluating.runs.popitem()[1].run.metrics}
    recalls = {
        kind: metrics[f"injected_recall_{kind}"]
        for kind in ("spike", "stuck", "offset", "drift", "noise", "dropout", "broken_correlation")
    }
    assert metrics["injected_recall"] == pytest.approx(np.mean(list(recalls.values())))
    assert recalls["offset"] > 0.4
    for kind, recall in recalls.items():
        assert (f"injected_delay_s_{kind}" in metrics) == (recall > 0)
    assert metrics["injected_delay_s_offset"] > 0
    assert metrics["injected_attribution_offset"] > 0.9
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_table_of_injected_faults_is_kept(evaluating: Any) -> None:
    evaluating.train()
    logged = evaluating.runs.popitem()[1]
    table = msgspec.json.decode(logged.files["injected_faults.json"])
    offsets = {
        one["strength"]: one["recall"] for one in table["by_strength"] if one["kind"] == "offset"
    }
    metrics = {one.key: one.value for one in logged.run.metrics}
    assert set(offsets) == {1.0, 2.0, 4.0, 8.0}
    assert np.mean(list(offsets.values())) == pytest.approx(metrics["injected_recall_offset"])
    assert table["held_out_rows"] == 120
    assert table["false_alarms_per_machine_day_is_extrapolated"] is True


def test_a_description_tells_of_injected_faults(evaluating: Any) -> None:
    evaluating.train()
    text = evaluating.registry.version(NAME, "1").description
    assert "Of faults injected into the held-out end of the history it found " in text
    assert "dropout 100%" in text
    assert "false alarms per machine-day (extrapolated from " in text


def test_a_history_too_short_to_hold_out_is_said_and_trained(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(trainer_evaluate_faults=True)
    world.store_history(machines=1, rows=120)
    assert world.train().state is JobState.SUCCEEDED
    version = world.registry.version(NAME, "1")
    assert version.tags["injected_recall"] == "not evaluated"
    assert version.tags["false_alarms_per_machine_day"] == "not evaluated"
    assert "too short" in version.tags["false_alarms_basis"]
    assert "Not measured by injected faults: the history is too short" in version.description
    logged = world.runs.popitem()[1]
    assert "too short" in msgspec.json.decode(logged.files["injected_faults.json"])["not_evaluated"]
    assert not [one.key for one in logged.run.metrics if one.key.startswith("injected")]


def test_the_evaluation_can_be_switched_off(world: Any) -> None:
    world.train()
    version = world.registry.version(NAME, "1")
    assert version.tags["injected_recall"] == "not evaluated"
    assert "switched off by the trainer's settings" in version.description


def test_progress_is_told_in_words(evaluating: Any) -> None:
    world = evaluating
    told: list[str] = []
    renew = world.queue.port.renew

    def listening(job_id: str, worker: str, lease_s: float, progress: str) -> None:
        told.append(progress)
        renew(job_id, worker, lease_s, progress)

    world.queue.port.renew = listening
    world.train()
    assert list(dict.fromkeys(told)) == [
        "looking whether this job was begun before",
        "reading the history",
        "looking for a version of the same rows",
        "fitting to 600 readings of 2 machines, 3 sensors",
        "measuring by injected faults",
        "fetching the champion",
        "looking for known faults",
        "looking up the newest version's number",
        "writing the bundle, the rows and the plots",
        "logging the run",
        "keeping the gate's report",
        "registering the version",
        "announcing the version",
        "promoting the version",
    ]
