"""Logs runs to an MLflow server: parameters, metrics, artifacts, the dataset and the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from faultline.adapters.mlflow.failures import is_code, translated
from faultline.adapters.mlflow.scoring_files import BUNDLE, write_scoring_files
from faultline.ports.registry import DatasetInput, TrainingRun
from mlflow import entities

MODEL = "model"

# MLflow refuses more at once, or longer ones.
_METRICS_AT_ONCE = 1000
_PARAMS_AT_ONCE = 100
_LONGEST_DIGEST = 36
_LONGEST_SCHEMA = 1_000_000

# What MLflow's lists say of an experiment, and tools that read it; its pages go by a switch of the
# reader's own.
_KIND = "mlflow.experimentKind"
_MACHINE_LEARNING = "custom_model_development"

_T = TypeVar("_T")


def log_run(client: MlflowClient, run: TrainingRun) -> str:
    """Log a finished run with its artifacts; returns its id.

    A run that could not be logged to its end is marked as failed and deleted, if MLflow still
    answers: who tries again leaves one run and not one for each try.
    """
    with translated(f"log a run in {run.experiment!r}"):
        begun = client.create_run(
            experiment(client, run.experiment),
            start_time=run.began_at_ms,
            tags=dict(run.tags),
            run_name=run.name,
        )
        run_id = str(begun.info.run_id)
        try:
            _fill(client, begun.info, run)
        except BaseException:
            with suppress(MlflowException):
                client.set_terminated(run_id, "FAILED")
                client.delete_run(run_id)
            raise
        client.set_terminated(run_id, "FINISHED")
    return run_id


def amend_run(client: MlflowClient, run_id: str, tags: Mapping[str, str], files: Path) -> None:
    """Add to a finished run, or overwrite, tags and the files of a folder."""
    with translated(f"add to run {run_id}"):
        client.log_artifacts(run_id, str(files))
        client.log_batch(run_id, tags=[entities.RunTag(*item) for item in tags.items()])


def end_runs(client: MlflowClient, experiment_name: str, tags: Mapping[str, str]) -> int:
    """End, as killed, the runs with these tags that MLflow shows as running; returns how many."""
    with translated(f"end the runs of {experiment_name!r} that were cut off"):
        found = client.get_experiment_by_name(experiment_name)
        if found is None:
            return 0
        # Few are: the tags are compared here, where they need no quoting.
        running = client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'")
        cut_off = [run for run in running if tags.items() <= run.data.tags.items()]
        for run in cut_off:
            client.set_terminated(run.info.run_id, "KILLED")
    return len(cut_off)


def experiment(client: MlflowClient, name: str) -> str:
    """Give the id of the experiment of this name; it is created, or restored, where need be.

    Its kind is machine learning, unless somebody has given it another.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags={_KIND: _MACHINE_LEARNING}))
        except MlflowException as error:
            if not is_code(error, "RESOURCE_ALREADY_EXISTS"):
                raise
            # Another trainer was faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        # Its name stays taken, so without this no run could be logged under it ever again.
        client.restore_experiment(found.experiment_id)
    if _KIND not in found.tags:
        client.set_experiment_tag(found.experiment_id, _KIND, _MACHINE_LEARNING)
    return str(found.experiment_id)


def _fill(client: MlflowClient, begun: entities.RunInfo, run: TrainingRun) -> None:
    run_id, at_ms = str(begun.run_id), int(begun.start_time)
    for params in _portions(list(run.params.items()), _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=[entities.Param(*item) for item in params])
    for metrics in _portions(run.metrics, _METRICS_AT_ONCE):
        client.log_batch(
            run_id,
            metrics=[entities.Metric(m.key, m.value, at_ms, m.step) for m in metrics],
        )
    for path in sorted(run.artifacts.iterdir()):
        if path.name == MODEL:
            client.log_artifacts(run_id, str(path), f"{MODEL}/{BUNDLE}")
        elif path.is_dir():
            client.log_artifacts(run_id, str(path), path.name)
        else:
            client.log_artifact(run_id, str(path))
    if run.scoring is not None:
        with TemporaryDirectory(prefix="faultline-model-") as folder:
            location = f"{begun.artifact_uri}/{MODEL}"
            write_scoring_files(Path(folder), run.scoring, run_id=run_id, location=location)
            client.log_artifacts(run_id, folder, MODEL)
    if run.dataset is not None:
        client.log_inputs(run_id, [_input(run.dataset, str(begun.artifact_uri))])


def _input(dataset: DatasetInput, artifact_uri: str) -> entities.DatasetInput:
    source = f"{artifact_uri}/{dataset.artifact}"
    scheme = urlsplit(source).scheme
    columns = [
        {"name": name, "type": kind, "required": False} for name, kind in dataset.columns.items()
    ]
    schema = _json({"mlflow_colspec": columns})
    return entities.DatasetInput(
        entities.Dataset(
            name=dataset.name,
            digest=dataset.digest[:_LONGEST_DIGEST],
            # MLflow has no source for its own artifacts; "local" loads from any artifact URI.
            source_type="local" if scheme in {"", "file", "mlflow-artifacts"} else scheme,
            source=_json({"uri": source}),
            # Of thousands of columns with long names, none are listed.
            schema=schema if len(schema) <= _LONGEST_SCHEMA else None,
            profile=_json(dict(dataset.profile)),
        ),
        [entities.InputTag("mlflow.data.context", "training")],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _portions(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
