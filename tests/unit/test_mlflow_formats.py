"""The formats of a request that MLflow's own server takes of a version: all are answered alike."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from faultline.adapters.mlflow.scoring_files import BUNDLE, write_scoring_files
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import MachineHistory
from faultline.detector.fit import fit
from faultline.ports.registry import ScoringForm

SENSORS = ("flow", "heat", "rpm")
ROWS = 80
_JSON = "application/json"


@pytest.fixture(scope="module")
def history() -> MachineHistory:
    random = np.random.default_rng(3)
    values = random.normal([10.0, 50.0, 900.0], [0.5, 1.0, 20.0], (300, 3)).round(3)
    # Whole numbers throughout, as of a counter: a column of another type.
    values[:, 2] = values[:, 2].round()
    return MachineHistory("pump-1", 1_795_000_000_000 + 1_000 * np.arange(300), values)


@pytest.fixture(scope="module")
def model(history: MachineHistory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    detector = fit(SENSORS, [history]).detector
    write_bundle(
        folder / BUNDLE,
        detector,
        golden_batch(detector, history),
        model_name="faultline-pump",
        machine_type="pump",
        created_ms=0,
        step_ms=1_000,
    )
    form = ScoringForm(SENSORS, step_ms=1_000)
    write_scoring_files(folder, form, run_id="0" * 32, location=str(folder))
    return folder


@pytest.fixture(scope="module")
def pyfunc(model: Path) -> Any:
    with warnings.catch_warnings():
        # MLflow is not content with its own type hints.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc  # noqa: PLC0415 - takes seconds

        return mlflow.pyfunc.load_model(str(model))


@pytest.fixture(scope="module")
def server(pyfunc: Any) -> TestClient:
    from mlflow.pyfunc import scoring_server  # noqa: PLC0415 - takes seconds

    return TestClient(scoring_server.init(pyfunc))


@pytest.fixture(params=["milliseconds", "RFC 3339"])
def frame(request: pytest.FixtureRequest, history: MachineHistory) -> Any:
    import pandas as pd  # noqa: PLC0415 - with MLflow's full package

    made = pd.DataFrame(history.values[:ROWS], columns=SENSORS).astype({"rpm": "int64"})
    at_ms = history.timestamps_ms[:ROWS]
    if request.param == "RFC 3339":
        at = pd.to_datetime(at_ms, unit="ms", utc=True).strftime("%Y-%m-%dT%H:%M:%SZ")
        return made.assign(machine_id="pump-1", timestamp=at)
    return made.assign(machine_id="pump-1", timestamp=at_ms)


_FORMATS: dict[str, Callable[[Any], tuple[str, str]]] = {
    "csv": lambda frame: (frame.to_csv(index=False), "text/csv"),
    "dataframe_split": lambda frame: (
        f'{{"dataframe_split": {frame.to_json(orient="split")}}}',
        _JSON,
    ),
    "dataframe_records": lambda frame: (
        f'{{"dataframe_records": {frame.to_json(orient="records")}}}',
        _JSON,
    ),
    "instances": lambda frame: (f'{{"instances": {frame.to_json(orient="records")}}}', _JSON),
    "inputs": lambda frame: (json.dumps({"inputs": frame.to_dict(orient="list")}), _JSON),
}


def asked(server: TestClient, body: str, kind: str = _JSON) -> Any:
    answer = server.post("/invocations", content=body, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


@pytest.mark.parametrize("form", _FORMATS)
def test_every_format_is_answered_as_python_is(
    server: TestClient, pyfunc: Any, frame: Any, form: str
) -> None:
    wanted = pyfunc.predict(frame)
    given = asked(server, *_FORMATS[form](frame))
    assert [one["status"] for one in given] == wanted["status"].tolist()
    assert "normal" in set(wanted["status"])
    np.testing.assert_allclose([one["score"] for one in given], wanted["score"], rtol=1e-12)


def test_a_row_without_a_known_sensor_is_answered_too(server: TestClient, pyfunc: Any) -> None:
    import pandas as pd  # noqa: PLC0415

    [answer] = asked(server, '{"dataframe_records": [{"smell": 3}]}')
    assert answer["status"] == "warming_up"
    # As JSON has no NaN, MLflow writes it bare.
    assert np.isnan(answer["score"])
    assert (answer["cluster"], answer["top_sensor"]) == (-1, None)
    assert len(pyfunc.predict(pd.DataFrame({"smell": [1, 2, 3]}))) == 3


def test_the_model_says_which_columns_it_takes(model: Path) -> None:
    told = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))["metadata"]
    assert told == {"sensors": list(SENSORS), "other_columns": ["machine_id", "timestamp"]}
