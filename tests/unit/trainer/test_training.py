import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from faultline.detector import RowState, Window
from faultline.errors import Conflict, Unavailable
from faultline.events import ModelEventKind
from faultline.labels import FaultLabel
from faultline.ports.jobs import JobState, Period
from faultline.ports.registry import ScoringForm, Stage
from faultline.ports.stores import RecordBatch

# The classes come with the fixtures: tests are imported file by file and cannot import each other.
NAME = "faultline-pump"
START_MS = 1_795_000_000_000


class Killed(BaseException):
    """What a process does not survive: nothing catches it."""


def test_a_training_registers_a_version_and_puts_it_into_production(world: Any) -> None:
    job = world.train()
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert (job.model_name, job.model_version, job.promoted) == (NAME, "1", True)
    production = world.registry.production(NAME)
    assert production.version == "1"
    assert production.run_id == job.run_id
    assert job.decision.startswith("the gate passed: ")


def test_a_version_says_where_it_comes_from(world: Any) -> None:
    job = world.train(requested_by="ada")
    tags = world.registry.version(NAME, "1").tags
    assert tags["job_id"] == job.job_id
    assert tags["requested_by"] == "ada"
    assert tags["git_commit"] == "c" * 40
    assert tags["machine_type"] == "pump"
    assert tags["training_start"] == "2026-11-18T11:06:40.000Z"
    assert tags["training_end"] == "2026-11-18T11:11:39.000Z"
    assert {"model_type", "use_case", "training_date", "faultline_version"} <= set(tags)
    assert len(tags["data_version"]) == 64


def test_a_version_says_how_good_it_is(world: Any) -> None:
    world.train()
    tags = world.registry.version(NAME, "1").tags
    metrics = {one.key: one.value for one in world.runs.popitem()[1].run.metrics}
    assert float(tags["silhouette"]) == metrics["silhouette"]
    assert 0.5 < float(tags["silhouette"]) < 1
    assert tags["silhouette_metric"] == "euclidean"
    assert int(tags["silhouette_rows"]) > 100
    assert tags["k"] == "2"
    assert tags["gate"] == "passed"
    assert "silhouette" in tags["gate_reason"]


def test_a_version_has_the_figures_of_its_run(world: Any) -> None:
    world.train()
    tags = world.registry.version(NAME, "1").tags
    metrics = world.runs.popitem()[1].run.metrics
    values = {one.key: one.value for one in metrics}
    for name in ("silhouette", "stability", "held_out_alarm_rate", "boundary", "rows"):
        assert float(tags[name]) == values[name]
    shares = [one.value for one in metrics if one.key == "cluster_share"]
    assert [float(share) for share in tags["cluster_shares"].split(", ")] == pytest.approx(
        shares, abs=1e-4
    )
    assert sum(shares) == pytest.approx(1.0)
    assert values["training_s"] > 0
    assert values["training_cpu_s"] > 0
    assert tags["trigger"] == "by hand"


def test_a_run_says_what_was_left_out(world: Any) -> None:
    labels = (FaultLabel(machine_id="pump-1", kind="leak", start_ms=START_MS + 290_000),)
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, labels=labels), lambda _: None
    )
    world.train()
    version = world.registry.version(NAME, "1")
    assert version.tags["left_out"] == "fault label: 1 (10 readings)"
    assert version.tags["rows_left_out"] == "10"
    assert "Left out (1 fault label): pump-1 from 2026-11-18T11:11:30.000Z on (leak)" in (
        version.description
    )
    logged = world.runs.popitem()[1]
    assert logged.run.params["left_out"] == "fault label: 1 (10 readings)"
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


def test_a_refused_version_stays_in_staging_and_says_why(make_world: Callable[..., Any]) -> None:
    world = make_world(gate_min_silhouette=0.99)
    world.store_history()
    job = world.train()
    assert (job.state, job.promoted) == (JobState.SUCCEEDED, False)
    assert job.decision.startswith("the gate refused: silhouette 0.")
    assert world.registry.version(NAME, "1").tags["gate"] == "refused"
    assert world.registry.version(NAME, "1").stage is Stage.STAGING
    assert world.log.list(NAME) == []
    assert [one.kind for one in world.events()] == [
        ModelEventKind.REGISTERED,
        ModelEventKind.GATE_REFUSED,
    ]


def test_a_refused_version_leaves_the_one_in_production(make_world: Callable[..., Any]) -> None:
    world = make_world(gate_min_rows=450)
    world.store_history()
    world.train()
    world.train(machines=("pump-1",))
    assert world.registry.production(NAME).version == "1"


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


def failed(world: Any, **request: Any) -> str:
    job = world.train(**request)
    assert job.state is JobState.FAILED
    assert world.runs == {}
    assert world.registry.models() == []
    assert world.events() == []
    return str(job.error)


def test_a_machine_type_without_readings_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    assert "no readings of machine type 'pump'" in failed(make_world())


def test_too_few_rows_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_history(machines=1, rows=60)
    assert "at least 100 are needed" in failed(world)


def test_a_single_row_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_history(machines=1, rows=1)
    assert "send more history" in failed(world) or "constant" in failed(world)


def test_constant_sensors_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_rows(np.full((300, 3), 7.0))
    assert "flow: constant: always 7" in failed(world)


def test_values_that_are_all_missing_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_rows(np.full((300, 3), np.nan))
    reason = failed(world)
    assert "all values are missing" in reason or "no readings" in reason


def test_a_machine_that_is_not_there_is_named(world: Any) -> None:
    assert "no readings of 'pump-9'" in failed(world, machines=("pump-1", "pump-9"))


def test_a_sensor_that_is_not_there_is_named(world: Any) -> None:
    reason = failed(world, sensors=("flow", "smell"))
    assert "'smell'" in reason
    assert "there are: flow" in reason


def test_a_time_range_without_readings_cannot_be_trained(world: Any) -> None:
    assert "no readings" in failed(world, end_ms=START_MS)


def test_more_history_than_fits_is_refused(make_world: Callable[..., Any]) -> None:
    world = make_world(trainer_max_history_rows=1_000)
    world.store_history(machines=4, rows=300)
    assert "more than 1000 readings" in failed(world)


def test_hyperparameters_of_another_release_fail_the_job(world: Any) -> None:
    assert "hyperparameters: unknown: depth" in failed(world, hyperparameters={"depth": 3})


def test_hyperparameters_are_used(world: Any, tmp_path: Path) -> None:
    world.train(hyperparameters={"window_rows": 7, "k_max": 4})
    assert world.bundle(tmp_path).detector.window_rows == 7
    assert world.runs.popitem()[1].run.params["fit_k_max"] == "4"


def test_the_distance_and_slow_sensors_can_be_asked_for_and_are_told(
    world: Any, tmp_path: Path
) -> None:
    world.train(hyperparameters={"distance": "covariance", "slow_sensors": ["heat"], "k_max": 3})
    assert world.bundle(tmp_path).detector.distance == "covariance"
    version, run = world.registry.version(NAME, "1"), world.runs.popitem()[1].run
    assert (version.tags["distance"], version.tags["slow_sensors"]) == ("covariance", "heat")
    assert run.params["distance"] == "covariance"
    assert run.params["slow_sensors"].startswith("heat (")
    assert "not by how they drift: heat (" in version.description


def test_a_version_without_slow_sensors_says_so(world: Any) -> None:
    world.train()
    assert world.registry.version(NAME, "1").tags["slow_sensors"] == "none"


def test_machines_have_baselines_of_their_own_unless_it_is_forbidden(
    world: Any, tmp_path: Path
) -> None:
    world.train()
    world.train(hyperparameters={"machine_baselines": False, "k_max": 3})
    own, common = (world.bundle(tmp_path, version).detector for version in "12")
    assert (own.machines, common.machines) == (("pump-1", "pump-2"), ())
    params = [one.run.params["machines_with_a_baseline"] for one in world.runs.values()]
    assert params == ["pump-1, pump-2", "none"]


def test_following_drift_and_settling_can_be_forbidden(world: Any, tmp_path: Path) -> None:
    world.train(hyperparameters={"settle_after_s": 90, "k_max": 3})
    world.train(hyperparameters={"settle_after_s": 0, "drift": "off", "k_max": 3})
    some, none = (world.bundle(tmp_path, version).detector.rule for version in "12")
    assert (some.settle_ms, some.active) == (90_000, True)
    assert (none.settle_ms, none.active) == (0, False)


def test_only_what_was_asked_for_is_learnt_from(world: Any, tmp_path: Path) -> None:
    world.train(
        machines=("pump-2",),
        sensors=("heat", "flow"),
        end_ms=START_MS + 250_000,
        excluded=(Period(START_MS + 100_000, START_MS + 120_000),),
    )
    dataset = msgspec.json.decode(world.runs.popitem()[1].files["dataset.json"])
    assert [(one["machine_id"], one["rows"]) for one in dataset["machines"]] == [("pump-2", 230)]
    assert world.bundle(tmp_path).detector.sensors == ("flow", "heat")
    tags = world.registry.version(NAME, "1").tags
    assert tags["training_excluded"].startswith("2026-11-18T11:08:20.000Z to ")
    assert tags["left_out"] == "excluded by the request: 1"


@pytest.mark.parametrize("call", ["versions", "log_run", "register", "promote"])
def test_a_registry_that_is_down_is_waited_for(world: Any, call: str) -> None:
    world.registry.plan(call, Unavailable("MLflow is down"), Unavailable("MLflow is down"))
    job = world.train()
    assert (job.state, job.promoted) == (JobState.SUCCEEDED, True)
    assert len(world.registry.versions(NAME)) == 1
    assert len(world.log.list(NAME)) == 1


def test_a_database_that_is_down_is_waited_for(world: Any) -> None:
    world.store.plan("history", Unavailable("down"))
    for call in ("turn", "begin", "finish", "mark_announced"):
        world.log.plan(call, Unavailable("down"))
    world.queue.plan("renew", Unavailable("down"))
    world.queue.plan("succeed", Unavailable("down"))
    job = world.train()
    assert job.state is JobState.SUCCEEDED
    assert len(world.registry.versions(NAME)) == 1


def test_a_broker_that_is_down_is_waited_for(world: Any) -> None:
    world.broker.flaky.plan("send", Unavailable("down"), Unavailable("down"))
    assert world.train().state is JobState.SUCCEEDED
    assert len({one.event_id for one in world.events()}) == 3


def test_an_answer_that_was_lost_makes_no_second_version(world: Any) -> None:
    world.registry.plan("register", Unavailable("timed out"), after=True)
    job = world.train()
    assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
    assert len(world.registry.versions(NAME)) == 1


CALLS = [
    ("registry", "log_run"),
    ("gate_log", "record"),
    ("registry", "register"),
    ("gate_log", "name_version"),
    ("registry", "promote"),
    ("log", "begin"),
    ("log", "finish"),
    ("log", "mark_announced"),
    ("queue", "succeed"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), CALLS)
def test_a_worker_may_die_anywhere(world: Any, port: str, call: str, after: bool) -> None:
    world.train()
    getattr(world, port).plan(call, Killed(), after=after)
    job = world.submit()
    with pytest.raises(Killed):
        world.work()
    job = world.work_until_done(job)
    assert (job.state, job.model_version, job.promoted) == (JobState.SUCCEEDED, "2", True)
    assert [one.version for one in world.registry.versions(NAME)] == ["2", "1"]
    assert [(one.to_version, one.from_version) for one in world.log.list(NAME)] == [
        ("2", "1"),
        ("1", None),
    ]
    told = {one.event_id: (one.kind, one.model_version) for one in world.events()}
    assert sorted(told.values()) == [
        (ModelEventKind.ARCHIVED, "1"),
        (ModelEventKind.GATE_PASSED, "1"),
        (ModelEventKind.GATE_PASSED, "2"),
        (ModelEventKind.PROMOTED, "1"),
        (ModelEventKind.PROMOTED, "2"),
        (ModelEventKind.REGISTERED, "1"),
        (ModelEventKind.REGISTERED, "2"),
    ]


def test_a_job_taken_over_late_does_not_undo_what_was_promoted_since(world: Any) -> None:
    world.train()
    world.queue.plan("succeed", Killed())
    job = world.submit()
    with pytest.raises(Killed):
        world.work()
    world.trainer.promotions.promote(NAME, "1", actor="ada", reason="back")
    assert world.work_until_done(job).state is JobState.SUCCEEDED
    assert world.registry.production(NAME).version == "1"


def test_a_version_made_by_a_worker_that_died_gets_into_staging(world: Any) -> None:
    world.registry.port.set_stage = _killed_once(world.registry.port.set_stage)
    job = world.submit(promotion="hold")
    with pytest.raises(Killed):
        world.work()
    assert world.registry.version(NAME, "1").stage is Stage.NONE
    world.work_until_done(job)
    assert world.registry.version(NAME, "1").stage is Stage.STAGING


def _killed_once(method: Callable[..., Any]) -> Callable[..., Any]:
    left = [Killed()]

    def call(*args: Any) -> Any:
        if left:
            raise left.pop()
        return method(*args)

    return call


def test_a_worker_that_lost_its_lease_registers_nothing(world: Any) -> None:
    job = world.submit()
    world.registry.port.log_run = _taken_over(world, world.registry.port.log_run)
    world.work()
    assert world.registry.models() == []
    assert world.queue.get(job.job_id).state is JobState.RUNNING


def test_a_worker_that_cannot_know_whether_it_lost_its_lease_registers_nothing(world: Any) -> None:
    world.submit()
    world.registry.port.log_run = _taken_over(world, world.registry.port.log_run, unheard=3)
    world.work()
    assert world.registry.models() == []


def _taken_over(world: Any, method: Callable[..., Any], unheard: int = 0) -> Callable[..., Any]:
    """Give the job to another worker meanwhile; the queue does not answer `unheard` times then."""

    def call(*args: Any) -> Any:
        world.clock.sleep(61)
        assert world.queue.port.claim("another", 60.0) is not None
        world.queue.plan("renew", *(Unavailable("down") for _ in range(unheard)))
        return method(*args)

    return call


def test_a_job_that_kills_its_workers_is_given_up(world: Any) -> None:
    job = world.submit()
    world.store.plan("history", *(Killed() for _ in range(5)))
    for _ in range(3):
        with pytest.raises(Killed):
            world.work(world.start())
        world.clock.sleep(61)
    world.work(world.start())
    job = world.queue.get(job.job_id)
    assert job.state is JobState.FAILED
    assert "given up after 3 attempts" in job.error


def test_what_nobody_foresaw_fails_the_job_and_ends_the_process(world: Any) -> None:
    world.store.plan("history", RuntimeError("broken"))
    job = world.submit()
    with pytest.raises(RuntimeError):
        world.work()
    job = world.queue.get(job.job_id)
    assert job.state is JobState.FAILED
    assert "RuntimeError: broken" in job.error


def test_what_the_registry_refuses_for_good_fails_the_job(world: Any) -> None:
    world.registry.plan("log_run", Conflict("MLflow could not log a run: no such parameter"))
    job = world.train()
    assert (job.state, job.error) == (
        JobState.FAILED,
        "MLflow could not log a run: no such parameter",
    )


def test_a_stopping_service_gives_the_job_back_at_once(world: Any) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    assert world.trainer.worker.step(stop)
    assert world.queue.get(job.job_id).state is JobState.QUEUED
    assert world.work(world.start())
    assert world.queue.get(job.job_id).state is JobState.SUCCEEDED


def test_a_job_does_not_fail_of_restarts(world: Any) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    for _ in range(4):
        assert world.start().worker.step(stop)
    assert world.work()
    assert world.queue.get(job.job_id).state is JobState.SUCCEEDED


def test_it_waits_longer_and_longer_for_what_stays_down(world: Any) -> None:
    slept: list[float] = []
    world.clock.sleep = slept.append
    world.registry.plan("log_run", *(Unavailable("disk full") for _ in range(8)))
    assert world.train().state is JobState.SUCCEEDED
    assert len(slept) == 1 + 2 + 4 + 8 + 16 + 32 + 32 + 32


@pytest.mark.parametrize("error", [Conflict("not ours"), Unavailable("gone")])
def test_a_stopping_service_leaves_the_job_to_its_lease_when_it_cannot_give_it_back(
    world: Any, error: Exception
) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    world.queue.plan("release", error)
    assert world.trainer.worker.step(stop)
    assert world.queue.get(job.job_id).state is JobState.RUNNING
    assert world.work_until_done(job).state is JobState.SUCCEEDED


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
        "looking for what was done before",
        "reading the history",
        "fitting to 600 readings of 2 machines, 3 sensors",
        "measuring by injected faults",
        "fetching the champion",
        "looking for known faults",
        "looking for the version before",
        "writing the bundle, the rows and the plots",
        "logging the run",
        "keeping the gate's report",
        "registering the version",
        "announcing the version",
        "promoting the version",
    ]


def test_an_idle_worker_has_nothing_to_do(world: Any) -> None:
    assert not world.work()


def test_a_worker_ends_when_told_to(world: Any) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=world.trainer.worker.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
