"""The prediction servers that `bench/predict_speed.py` starts, each a process of its own.

`python -m bench.predict_servers NAME FOLDER PORT`; all of them serve what `prepare` wrote into the
folder.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from bench.recordings import Rows
from bench.score_speed import MACHINE, TRAINING_ROWS, faultline_detector
from bench.synthetic import REGIMES, SENSORS, running_machine
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.adapters.mlflow.scoring_files import BUNDLE, write_scoring_files
from faultline.bundle import GoldenBatch, golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.ports.registry import ScoringForm, TrainingRun
from faultline.readings import Reading, encode_batch, make_reading

NAMES = tuple(f"sensor_{index}" for index in range(SENSORS))
MACHINE_TYPE = "bench"
MODEL_NAME = f"faultline-{MACHINE_TYPE}"
STEP_MS = 1_000
LIVE_ROWS = 400
QUANTILE = 0.998

_MLSERVER_MODEL = {
    "name": "distance",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./pipeline.joblib"},
}
_DISTANCE_CODE = '''"""The distance that the scikit-learn flavour does not answer with."""

import joblib
import mlflow


class Distance(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.pipeline = joblib.load(context.artifacts["pipeline"])

    def predict(self, model_input):
        return self.pipeline.transform(model_input).min(axis=1)


mlflow.models.set_model(Distance())
'''


def reading(row: int, values: Sequence[float]) -> Reading:
    """The machine's reading of a row."""
    sensors: dict[str, float | None] = dict(zip(NAMES, values, strict=True))
    return make_reading(MACHINE, row * STEP_MS, sensors, MACHINE_TYPE)


def prepare(folder: Path) -> None:
    """Fit on the same rows, and write the models in the forms that the servers take."""
    train = running_machine(TRAINING_ROWS, seed=1)
    _prepare_faultline(folder, train)
    pipeline = make_pipeline(RobustScaler(), KMeans(REGIMES, n_init=10, random_state=0))
    pipeline.fit(train)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    threshold = float(np.quantile(pipeline.transform(train).min(axis=1), QUANTILE))
    (folder / "threshold.json").write_text(json.dumps(threshold))
    _prepare_distance(folder)


def _write_bundle(folder: Path, detector: Detector, golden: GoldenBatch) -> str:
    return write_bundle(
        folder, detector, golden, model_name=MODEL_NAME, machine_type=MACHINE_TYPE, created_ms=0
    )


def _prepare_faultline(folder: Path, train: Rows) -> None:
    detector = faultline_detector(train)
    history = MachineHistory(MACHINE, STEP_MS * np.arange(len(train), dtype=np.int64), train)
    model = folder / "artifacts" / "model"
    golden = golden_batch(detector, history)
    written = _write_bundle(model, detector, golden)
    (folder / "sum.json").write_text(json.dumps(written))
    served = folder / "faultline_mlflow"
    _write_bundle(served / BUNDLE, detector, golden)
    form = ScoringForm(detector.sensors, STEP_MS)
    write_scoring_files(served, form, run_id="bench", location=str(served))


def _prepare_distance(folder: Path) -> None:
    import mlflow  # noqa: PLC0415 - takes seconds, and no server of ours needs it

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    code = folder / "distance.py"
    code.write_text(_DISTANCE_CODE)
    mlflow.pyfunc.save_model(
        folder / "distance_mlflow",
        python_model=str(code),
        artifacts={"pipeline": str(folder / "pipeline.joblib")},
        pip_requirements=["mlflow", "scikit-learn"],
    )


def write_mlserver_settings(folder: Path, port: int) -> None:
    """Tell MLServer which model to serve, and where; its own ports follow upon `port`."""
    (folder / "model-settings.json").write_text(json.dumps(_MLSERVER_MODEL))
    settings = {
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))


def serve_faultline(folder: Path, port: int) -> int:
    """Serve the predictor as `services.predictor` does, with what is behind its ports in memory.

    The loops run too, and the machine has a live window: a request goes on from it.
    """
    from faultline import topics  # noqa: PLC0415 - its peers' processes need none of it
    from faultline.service import serve  # noqa: PLC0415 - as above
    from faultline.telemetry import configure_logging  # noqa: PLC0415 - as above
    from services.predictor.assembly import assemble  # noqa: PLC0415 - as above
    from services.predictor.ports import Ports  # noqa: PLC0415 - as above
    from services.predictor.settings import PredictorSettings  # noqa: PLC0415 - as above

    shutil.rmtree(folder / "state", ignore_errors=True)

    configure_logging("predictor", "warning", "json")
    clock, broker, database = SystemClock(), MemoryBroker(), MemoryDatabase()
    registry = MemoryRegistry(clock)
    run = TrainingRun(
        experiment=MODEL_NAME,
        name="bench",
        params={},
        metrics=[],
        tags={},
        artifacts=folder / "artifacts",
    )
    tags = {"bundle_sha256": json.loads((folder / "sum.json").read_text())}
    version = registry.register(MODEL_NAME, registry.log_run(run), tags, "")
    registry.promote(MODEL_NAME, version.version)
    broker.create_topics(topics.ALL)
    with closing(broker.producer()) as producer:
        live = [
            reading(n, row) for n, row in enumerate(running_machine(LIVE_ROWS, seed=2).tolist())
        ]
        producer.send(topics.READINGS.name, MACHINE.encode(), encode_batch(live))
        producer.flush(1.0)
    predictor = assemble(
        PredictorSettings(state_dir=folder / "state"),
        Ports(
            broker=broker,
            registry=registry,
            store=database.fleet_store(),
            comparisons=database.comparison_store(),
            drift=database.drift_log(),
            database=lambda: None,
            clock=clock,
        ),
    )
    return serve(predictor.app, "127.0.0.1", port, predictor.loops)


def serve_fastapi(folder: Path, port: int) -> int:
    """Serve the pipeline as most would: FastAPI, a pydantic body, scikit-learn."""
    import uvicorn  # noqa: PLC0415 - its peers' processes need none of it
    from fastapi import FastAPI  # noqa: PLC0415 - as above
    from pydantic import BaseModel  # noqa: PLC0415 - as above

    class Body(BaseModel):
        machine_id: str
        timestamp: str
        sensors: dict[str, float]

    app = FastAPI()
    pipeline = joblib.load(folder / "pipeline.joblib")
    threshold = json.loads((folder / "threshold.json").read_text())

    def predict(body: Body) -> dict[str, Any]:
        row = [[body.sensors[name] for name in NAMES]]
        distance = float(pipeline.transform(row).min())
        return {
            "machine_id": body.machine_id,
            "distance": distance,
            "is_anomaly": distance > threshold,
        }

    predict.__annotations__["body"] = Body
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
    return 0


SERVERS: dict[str, Callable[[Path, int], int]] = {
    "faultline": serve_faultline,
    "fastapi": serve_fastapi,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    given = parser.parse_args(arguments)
    return SERVERS[given.name](given.folder, given.port)


if __name__ == "__main__":
    sys.exit(main())
