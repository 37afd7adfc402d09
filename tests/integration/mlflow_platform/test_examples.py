"""Every example runs to its end, and what it says of itself is in MLflow afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .conftest import FOLDER, Platform, free_port, running, wait_for

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Learned:
    """What 02 and 05 have left, and printed."""

    classifier: str
    experiment: str
    registry_says: str
    training_says: str


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    return MlflowClient(uri)


@pytest.fixture(scope="module")
def learned(local: Platform, uri: str) -> Learned:
    name, experiment = f"example-{uuid4().hex[:8]}", f"examples-{uuid4().hex[:8]}"
    environment = {"MLFLOW_TRACKING_URI": uri, "EXAMPLE_EXPERIMENT": experiment}
    registry_says = local.example("02_model_registry", EXAMPLE_MODEL=name, **environment)
    training_says = local.example("05_example_training", EXAMPLE_MODEL=f"{name}-t", **environment)
    return Learned(name, experiment, registry_says, training_says)


def test_tracking_logs_a_run_with_children(local: Platform, uri: str, client: Any) -> None:
    experiment = f"examples-{uuid4().hex[:8]}"
    says = local.example(
        "01_basic_tracking", MLFLOW_TRACKING_URI=uri, EXAMPLE_EXPERIMENT=experiment
    )
    assert "is FINISHED" in says
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert len(children) == 3
    assert parent.data.metrics["best_loss"] == min(run.data.metrics["loss"] for run in children)
    assert len(client.get_metric_history(children[0].info.run_id, "loss")) == 20


def test_the_registry_takes_a_version_through_its_life(learned: Learned, client: Any) -> None:
    versions = client.search_model_versions(f"name = '{learned.classifier}'")
    found = {one.version: (one.current_stage, one.tags["gate"]) for one in versions}
    assert found == {
        "1": ("Staging", "refused"),
        "2": ("Archived", "passed"),
        "3": ("Production", "passed"),
    }
    assert client.get_model_version_by_alias(learned.classifier, "production").version == "3"
    assert "is registered, stage None" in learned.registry_says
    assert "version 1 stays in Staging: F1" in learned.registry_says


def test_validation_is_kept_as_tags(learned: Learned, client: Any) -> None:
    refused = client.get_model_version(learned.classifier, "1").tags
    assert refused["validation_status"] == "failed"
    assert refused["gate_reason"].endswith("is below 0.8")


def test_training_leaves_figures_pictures_and_a_version(learned: Learned, client: Any) -> None:
    version = client.get_model_version(f"{learned.classifier}-t", "1")
    run = client.get_run(version.run_id)
    assert 0.5 < run.data.metrics["f1"] < 1
    assert version.tags["f1"] == f"{run.data.metrics['f1']:.4f}"
    plots = {file.path for file in client.list_artifacts(run.info.run_id, "plots")}
    assert plots == {
        f"plots/{name}.png" for name in ("confusion_matrix", "feature_importances", "roc_curve")
    }


def test_search_finds_the_training_and_compares_the_last_two_versions(
    learned: Learned, local: Platform, uri: str
) -> None:
    says = local.example(
        "04_search_and_compare",
        MLFLOW_TRACKING_URI=uri,
        EXAMPLE_EXPERIMENT=learned.experiment,
        EXAMPLE_MODEL=learned.classifier,
    )
    assert says.count("trees 120") == 1
    assert "A/B of versions 2 and 3" in says
    assert "version 3 is better" in says


def test_a_served_version_says_what_the_loaded_one_says(
    learned: Learned, local: Platform, uri: str, tmp_path: Path
) -> None:
    port = free_port()
    script = str(FOLDER / "scripts" / "serve-model.sh")
    with running(
        [script, learned.classifier, "production", "--port", str(port)],
        local.environment,
        tmp_path / "log",
    ) as process:
        wait_for(f"http://127.0.0.1:{port}/ping", process, tmp_path / "log")
        says = local.example(
            "03_model_serving",
            MLFLOW_TRACKING_URI=uri,
            EXAMPLE_MODEL=learned.classifier,
            MODEL_SERVER=f"http://127.0.0.1:{port}",
            NO_PROXY="127.0.0.1",
        )
    assert "both agree" in says
    assert "a body it does not know: 400" in says


def test_curl_does_it_too(local: Platform, uri: str, client: Any) -> None:
    name = f"rest-{uuid4().hex[:8]}"
    done = local.run(
        FOLDER / "examples" / "rest_api.sh", MLFLOW_TRACKING_URI=uri, EXAMPLE_EXPERIMENT=name
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "artifacts: model/note.txt" in done.stdout
    version = client.get_model_version_by_alias(name, "production")
    assert version.current_stage == "Production"
    assert client.get_run(version.run_id).data.metrics == {"silhouette": 0.61}
