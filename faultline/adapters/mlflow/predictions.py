"""Predictions as MLflow shows them: each a run of its own, or many as the rows of a table.

Both in the experiment `faultline-predictions`. Runs can be searched by metric, as in
`metrics.inference_time_ms < 5`; tables take a thousandth of the requests, and after
`mlflow.set_experiment`, `mlflow.load_table("predictions.json")` makes a data frame of them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from faultline.adapters.mlflow.failures import translated
from faultline.adapters.mlflow.registry import MlflowRegistry
from faultline.adapters.mlflow.runs import experiment, log_run
from faultline.ports.predictions import Prediction
from faultline.ports.registry import Metric, TrainingRun
from faultline.readings import format_timestamp
from faultline.settings import RegistrySettings
from mlflow import entities

EXPERIMENT = "faultline-predictions"
TABLE = "predictions.json"

_TABLE_ROWS = 1_000
# MLflow refuses more parameters at once, and other characters in a name.
_PARAMS_AT_ONCE = 100
_LONGEST_NAME = 250
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]", re.ASCII)
_LOGGED_ARTIFACTS = "mlflow.loggedArtifacts"


class MlflowPredictionRuns:
    """`PredictionLog` with a run for each prediction.

    Parameters: the reading's sensors, machine and time. Metrics: `prediction_class`, `score`,
    `cluster`, `inference_time_ms`. Tags: `prediction` (the status), `model_name`, `model_version`,
    `machine_id`, `machine_type`.
    """

    most = 1

    def __init__(self, settings: RegistrySettings) -> None:
        self._client = _client(settings)
        self._experiment_id: str | None = None

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Log one prediction; see the port."""
        (prediction,) = predictions
        with translated("log a prediction"):
            if self._experiment_id is None:
                self._experiment_id = experiment(self._client, EXPERIMENT)
            try:
                self._log(self._experiment_id, prediction)
            except MlflowException:
                # Deleted meanwhile, perhaps: looked up anew, and taken back, at the next.
                self._experiment_id = None
                raise

    def _log(self, experiment_id: str, prediction: Prediction) -> None:
        begun = self._client.create_run(
            experiment_id,
            start_time=prediction.at_ms,
            tags=_tags([prediction]),
            run_name=_run_name(prediction),
        )
        run_id = str(begun.info.run_id)
        try:
            params = list(_params(prediction))
            metrics = [
                entities.Metric(key, value, prediction.at_ms, 0)
                for key, value in _metrics(prediction).items()
            ]
            self._client.log_batch(run_id, metrics, params[:_PARAMS_AT_ONCE])
            for start in range(_PARAMS_AT_ONCE, len(params), _PARAMS_AT_ONCE):
                self._client.log_batch(run_id, params=params[start : start + _PARAMS_AT_ONCE])
        except BaseException:
            # It is tried again with another run.
            with suppress(MlflowException):
                self._client.delete_run(run_id)
            raise
        self._client.set_terminated(run_id, "FINISHED", end_time=prediction.at_ms)


class MlflowPredictionTables:
    """`PredictionLog` with a run for each batch, and the batch as the artifact `predictions.json`.

    Metrics of a batch: `predictions`, `failures`, the mean and the largest `inference_time_ms`.
    """

    most = _TABLE_ROWS

    def __init__(self, settings: RegistrySettings) -> None:
        self._client = _client(settings)

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Log a batch; see the port."""
        times_ms = [each.inference_time_ms for each in predictions]
        failures = sum(each.prediction_class or 0 for each in predictions)
        with TemporaryDirectory(prefix="faultline-predictions-") as folder:
            (Path(folder) / TABLE).write_bytes(_table(predictions))
            log_run(
                self._client,
                TrainingRun(
                    experiment=EXPERIMENT,
                    name=f"{len(predictions)} predictions since "
                    f"{format_timestamp(predictions[0].at_ms)}",
                    params={},
                    metrics=[
                        Metric("predictions", len(predictions)),
                        Metric("failures", failures),
                        Metric("inference_time_ms", sum(times_ms) / len(times_ms)),
                        Metric("inference_time_max_ms", max(times_ms)),
                    ],
                    tags={
                        **_tags(predictions),
                        # As MLflow's own `log_table` writes it, to the blank: `load_table` and
                        # the pages that show tables search for it.
                        _LOGGED_ARTIFACTS: json.dumps([{"path": TABLE, "type": "table"}]),
                    },
                    artifacts=Path(folder),
                ),
            )


def _client(settings: RegistrySettings) -> MlflowClient:
    # Making one sets MLflow's time-outs for the whole process.
    MlflowRegistry(settings)
    return MlflowClient(
        tracking_uri=settings.mlflow_tracking_uri, registry_uri=settings.mlflow_tracking_uri
    )


def _run_name(prediction: Prediction) -> str:
    whose = prediction.machine_id or prediction.machine_type
    return f"{whose} {format_timestamp(prediction.timestamp_ms)}"


def _tags(predictions: Sequence[Prediction]) -> dict[str, str]:
    """What all of them have in common; several values of a tag with commas."""
    named: dict[str, list[str | None]] = {
        "prediction": [str(each.status) for each in predictions],
        "model_name": [each.model_name for each in predictions],
        "model_version": [each.model_version for each in predictions],
        "machine_type": [each.machine_type for each in predictions],
    }
    if len(predictions) == 1:
        named["machine_id"] = [predictions[0].machine_id or None]
    return {
        key: ",".join(dict.fromkeys(value for value in values if value))
        for key, values in named.items()
        if any(values)
    }


def _params(prediction: Prediction) -> Iterator[entities.Param]:
    used: set[str] = set()
    for name, value in prediction.inputs.items():
        key = _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]
        while key in used:
            key += "_"
        used.add(key)
        yield entities.Param(key, "" if value is None else repr(value))
    yield entities.Param(_unused("timestamp", used), format_timestamp(prediction.timestamp_ms))


def _unused(key: str, used: set[str]) -> str:
    return _unused(f"{key}_", used) if key in used else key


def _metrics(prediction: Prediction) -> Mapping[str, float]:
    given = {
        "prediction_class": prediction.prediction_class,
        "score": prediction.score,
        "cluster": prediction.cluster,
        "inference_time_ms": prediction.inference_time_ms,
    }
    return {key: float(value) for key, value in given.items() if value is not None}


def _table(predictions: Sequence[Prediction]) -> bytes:
    rows = [_row(each) for each in predictions]
    return msgspec.json.encode(
        {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    )


def _row(prediction: Prediction) -> dict[str, Any]:
    return {
        "predicted_at": format_timestamp(prediction.at_ms),
        "machine_id": prediction.machine_id,
        "machine_type": prediction.machine_type,
        "timestamp": format_timestamp(prediction.timestamp_ms),
        "inputs": prediction.inputs,
        "prediction": prediction.status,
        "prediction_class": prediction.prediction_class,
        "score": prediction.score,
        "cluster": prediction.cluster,
        "inference_time_ms": prediction.inference_time_ms,
        "model_name": prediction.model_name,
        "model_version": prediction.model_version,
    }
