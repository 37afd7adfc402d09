"""What every log of predictions keeps: the one in memory, MLflow's runs and MLflow's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from faultline.adapters.memory.predictions import MemoryPredictionLog
from faultline.errors import Unavailable
from faultline.ports.predictions import Prediction, PredictionLog
from faultline.readings import format_timestamp
from faultline.settings import RegistrySettings
from faultline.verdicts import Status

Row = dict[str, Any]
KEPT = ("machine_id", "prediction", "prediction_class", "score", "model_version", "inputs")

PREDICTION = Prediction(
    at_ms=1_800_000_000_123,
    machine_id="pump-1",
    machine_type="pump",
    timestamp_ms=1_800_000_000_000,
    inputs={"flow": 0.1 + 0.2, "heat": None},
    status=Status.FAILURE,
    score=1.75,
    cluster=2,
    inference_time_ms=0.25,
    model_name="faultline-pump",
    model_version="3",
)


class Subject(NamedTuple):
    """A log, and what it has kept of machines whose id begins so."""

    log: PredictionLog
    kept: Callable[[str], list[Row]]


def _from_memory() -> Subject:
    log = MemoryPredictionLog()

    def kept(prefix: str) -> list[Row]:
        return [
            {
                "machine_id": each.machine_id,
                "prediction": str(each.status),
                "prediction_class": each.prediction_class,
                "score": each.score,
                "model_version": each.model_version,
                "inputs": each.inputs,
            }
            for each in log.kept
            if each.machine_id.startswith(prefix)
        ]

    return Subject(log, kept)


def _client(url: str) -> Any:
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - takes seconds

    return MlflowClient(tracking_uri=url, registry_uri=url)


def _found(url: str, condition: str) -> list[Any]:
    client = _client(url)
    experiment = client.get_experiment_by_name("faultline-predictions")
    return list(client.search_runs([experiment.experiment_id], condition))


def _from_runs(url: str) -> Subject:
    from faultline.adapters.mlflow.predictions import MlflowPredictionRuns  # noqa: PLC0415

    def kept(prefix: str) -> list[Row]:
        runs = _found(url, f"tags.machine_id LIKE '{prefix}%'")
        return [
            {
                "machine_id": run.data.tags["machine_id"],
                "prediction": run.data.tags["prediction"],
                "prediction_class": run.data.metrics.get("prediction_class"),
                "score": run.data.metrics.get("score"),
                "model_version": run.data.tags.get("model_version"),
                "inputs": {
                    key: float(value) if value else None
                    for key, value in run.data.params.items()
                    if key != "timestamp"
                },
            }
            for run in reversed(runs)
        ]

    return Subject(MlflowPredictionRuns(RegistrySettings(MLFLOW_TRACKING_URI=url)), kept)


def _from_tables(url: str, monkeypatch: pytest.MonkeyPatch) -> Subject:
    from faultline.adapters.mlflow.predictions import MlflowPredictionTables  # noqa: PLC0415

    def kept(prefix: str) -> list[Row]:
        import mlflow  # noqa: PLC0415 - takes seconds

        monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        mlflow.set_tracking_uri(url)
        mlflow.set_experiment("faultline-predictions")
        runs = [run.info.run_id for run in _found(url, "metrics.predictions > 0")]
        if not runs:
            return []
        table = mlflow.load_table("predictions.json", run_ids=runs).sort_values("predicted_at")
        rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
        # pandas reads a column of texts such as "3" as numbers.
        return [
            {**{key: row[key] for key in KEPT}, "model_version": _text(row["model_version"])}
            for row in rows
            if row["machine_id"].startswith(prefix)
        ]

    return Subject(MlflowPredictionTables(RegistrySettings(MLFLOW_TRACKING_URI=url)), kept)


def _text(value: float | str | None) -> str | None:
    return None if value is None else str(value).removesuffix(".0")


@pytest.fixture(
    params=["memory", *(pytest.param(way, marks=pytest.mark.real) for way in ("runs", "tables"))]
)
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Subject:
    if request.param == "memory":
        return _from_memory()
    url = request.getfixturevalue("platform").mlflow
    return _from_runs(url) if request.param == "runs" else _from_tables(url, monkeypatch)


@pytest.fixture
def prefix() -> str:
    return f"m{uuid4().hex[:8]}"


def log_all(subject: Subject, predictions: Sequence[Prediction]) -> None:
    for start in range(0, len(predictions), subject.log.most):
        subject.log.log(predictions[start : start + subject.log.most])


def test_a_prediction_is_kept_with_its_inputs_to_the_last_bit(
    subject: Subject, prefix: str
) -> None:
    log_all(subject, [replace(PREDICTION, machine_id=prefix)])
    assert subject.kept(prefix) == [
        {
            "machine_id": prefix,
            "prediction": "failure",
            "prediction_class": 1,
            "score": 1.75,
            "model_version": "3",
            "inputs": {"flow": 0.1 + 0.2, "heat": None},
        }
    ]


def test_predictions_keep_their_order(subject: Subject, prefix: str) -> None:
    given = [
        replace(PREDICTION, machine_id=f"{prefix}-{n}", at_ms=PREDICTION.at_ms + n)
        for n in range(3)
    ]
    log_all(subject, given)
    assert [row["machine_id"] for row in subject.kept(prefix)] == [
        each.machine_id for each in given
    ]


def test_what_was_not_scored_has_neither_score_nor_class(subject: Subject, prefix: str) -> None:
    unscored = replace(
        PREDICTION,
        machine_id=prefix,
        status=Status.NO_MODEL,
        score=None,
        cluster=None,
        model_name=None,
        model_version=None,
    )
    log_all(subject, [unscored])
    (row,) = subject.kept(prefix)
    assert (row["prediction"], row["score"], row["prediction_class"]) == ("no_model", None, None)
    assert row["model_version"] is None


def test_a_wide_reading_of_unusual_names_is_kept(subject: Subject, prefix: str) -> None:
    inputs: dict[str, float | None] = {f"s{n}": float(n) for n in range(130)}
    inputs |= {"°C (außen)": 1.0, "_C (au_en)": 2.0, "timestamp ": 3.0}
    log_all(subject, [replace(PREDICTION, machine_id=prefix, inputs=inputs)])
    (row,) = subject.kept(prefix)
    assert list(row["inputs"].values()).count(None) == 0
    assert Counter(row["inputs"].values()) == Counter(inputs.values())


@pytest.mark.parametrize("way", ["MlflowPredictionRuns", "MlflowPredictionTables"])
def test_while_mlflow_is_down_it_is_unavailable(way: str) -> None:
    from faultline.adapters.mlflow import predictions  # noqa: PLC0415 - takes seconds

    settings = RegistrySettings(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        getattr(predictions, way)(settings).log([PREDICTION])


@pytest.mark.real
def test_runs_are_found_by_inference_time(request: pytest.FixtureRequest, prefix: str) -> None:
    url = request.getfixturevalue("platform").mlflow
    subject = _from_runs(url)
    log_all(
        subject,
        [
            replace(PREDICTION, machine_id=f"{prefix}-{took}", inference_time_ms=took)
            for took in (0.5, 7.5)
        ],
    )
    found = _found(url, f"metrics.inference_time_ms < 5 AND tags.machine_id LIKE '{prefix}%'")
    assert [run.data.tags["machine_id"] for run in found] == [f"{prefix}-0.5"]
    (run,) = found
    assert run.info.status == "FINISHED"
    assert run.data.params["timestamp"] == format_timestamp(PREDICTION.timestamp_ms)
    assert run.data.metrics["cluster"] == 2
