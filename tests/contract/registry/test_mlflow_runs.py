"""Runs in MLflow: what its own clients see of them, and what is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from faultline.ports.registry import DatasetInput, ModelRegistry, TrainingRun

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig

pytestmark = pytest.mark.real


@pytest.fixture
def registry(mlflow_registry: ModelRegistry) -> ModelRegistry:
    """MLflow's only."""
    return mlflow_registry


def test_the_run_has_everything(rig: Rig, client: Any) -> None:
    run_id = rig.log()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert len(run.data.params) == 130
    assert run.data.tags["job_id"] == "j1"
    history = client.get_metric_history(run_id, "silhouette")
    assert [(one.step, one.value) for one in history] == [(k, 0.5 + k / 100) for k in range(2, 9)]
    assert {one.path for one in client.list_artifacts(run_id)} == {"model", "gate.json"}


def test_a_dataset_is_listed_as_an_input_that_can_be_loaded(
    rig: Rig, client: Any, artifacts: Path
) -> None:
    import mlflow.data  # noqa: PLC0415 - takes seconds

    (artifacts / "dataset").mkdir()
    (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
    dataset = DatasetInput("pump", "ab" * 32, "dataset", {"flow": "double"}, {"rows": 3})
    run = client.get_run(rig.log(dataset=dataset))
    [listed] = run.inputs.dataset_inputs
    assert listed.dataset.name == "pump"
    assert listed.dataset.digest == ("ab" * 32)[:36]
    assert [(tag.key, tag.value) for tag in listed.tags] == [("mlflow.data.context", "training")]
    loaded = mlflow.data.get_source(listed).load()
    assert (Path(loaded) / "rows.parquet").read_bytes() == b"rows"


def test_a_deleted_experiment_comes_back_for_the_next_run(rig: Rig, client: Any) -> None:
    rig.log()
    experiment = client.get_experiment_by_name("faultline-contract")
    client.delete_experiment(experiment.experiment_id)
    run = client.get_run(rig.log())
    assert run.info.experiment_id == experiment.experiment_id


def test_a_run_that_cannot_be_logged_is_not_left_behind(
    registry: ModelRegistry, client: Any, name: str, artifacts: Path
) -> None:
    (artifacts / "gone.json").symlink_to(artifacts / "nowhere")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            registry.log_run(TrainingRun(name, "a run", {}, [], {}, artifacts))
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    assert client.search_runs([experiment.experiment_id]) == []


def test_a_run_that_was_cut_off_is_ended_by_its_tags(
    rig: Rig, registry: ModelRegistry, client: Any, name: str
) -> None:
    done = rig.log(experiment=name)
    experiment = client.get_experiment_by_name(name).experiment_id
    tags = {"job_id": "j1", "more": "of it"}
    cut_off, of_another = (
        client.create_run(experiment, tags={**tags, "job_id": job}).info.run_id
        for job in ("j1", "j2")
    )
    assert registry.end_runs(name, {"job_id": "j1"}) == 1
    ended = [client.get_run(run_id).info.status for run_id in (done, cut_off, of_another)]
    assert ended == ["FINISHED", "KILLED", "RUNNING"]
    assert registry.end_runs(name, {"job_id": "j1"}) == 0


def test_an_experiment_is_of_the_kind_machine_learning(rig: Rig, client: Any, name: str) -> None:
    client.create_experiment(name)
    # One that is there already, of an earlier version or by hand; and one that is made.
    for experiment in (name, f"{name}-new"):
        rig.log(experiment=experiment)
        tags = client.get_experiment_by_name(experiment).tags
        assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_kind_that_somebody_has_chosen_for_an_experiment_stays(
    rig: Rig, client: Any, name: str
) -> None:
    client.create_experiment(name, tags={"mlflow.experimentKind": "regression"})
    rig.log(experiment=name)
    assert client.get_experiment_by_name(name).tags["mlflow.experimentKind"] == "regression"


def test_a_run_lasts_from_when_its_training_began(rig: Rig, client: Any) -> None:
    run = client.get_run(rig.log(began_at_ms=1_795_000_000_000))
    assert run.info.start_time == 1_795_000_000_000
    assert run.info.end_time > run.info.start_time
