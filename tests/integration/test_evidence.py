"""What a trained version leaves in the real MLflow: its rows, its recipe, and a model that scores.

One version is trained, through the trainer's own parts, and all tests look at it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.mlflow import MlflowRegistry
from faultline.bundle import golden_batch, read_bundle, write_bundle
from faultline.data_version import data_version
from faultline.detector import Detector, MachineHistory, Window
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.jobs import JobState, TrainingRequest
from faultline.ports.registry import ModelVersion, TrainingRun
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading, format_timestamp
from faultline.settings import RegistrySettings
from faultline.snapshot import read_rows
from faultline.topics import MODEL_EVENTS
from services.trainer.assembly import Ports, assemble
from services.trainer.settings import TrainerSettings

pytestmark = pytest.mark.real

SENSORS = ("flow", "heat", "load")
START_MS = 1_795_000_000_000
STEP_MS = 1_000
_PATIENCE_S = 300.0


def ordinary(rows: int = 300, seed: int = 1) -> np.ndarray:
    """Rows of a machine with two operating regimes, which it changes irregularly."""
    random = np.random.default_rng(seed)
    changes = np.repeat(np.arange(rows) % 2, random.integers(15, 40, rows))
    regime = changes[:rows, None]
    return random.normal([10.0, 50.0, 3.0], [0.5, 1.0, 0.1], (rows, 3)) + regime * [4.0, 9.0, 1.0]


def day() -> np.ndarray:
    """Rows to be scored: ordinary ones, some with missing values, and a fault at the end."""
    values = ordinary(120, seed=9)
    values[20:23, 1] = np.nan
    values[90:, 2] += 5.0
    return values


def times(rows: int) -> np.ndarray:
    return START_MS + 10_000_000 + STEP_MS * np.arange(rows)


@dataclass(frozen=True)
class World:
    """The version in Production, and where it is."""

    uri: str
    registry: MlflowRegistry
    version: ModelVersion
    detector: Detector

    def scored(self, machine_id: str | None) -> tuple[np.ndarray, list[str]]:
        """What the detector itself says of `day`."""
        scores, _ = self.detector.score(
            Window.empty(SENSORS), times(120), day(), machine_id=machine_id
        )
        statuses = [
            "warming_up" if np.isnan(score) else "failure" if score > 1 else "normal"
            for score in scores.score
        ]
        return scores.score, statuses


@pytest.fixture(scope="module")
def world(platform: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> World:
    machine_type = f"t{uuid4().hex[:12]}"
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
    database, broker = MemoryDatabase(), MemoryBroker()
    broker.create_topics([MODEL_EVENTS])
    readings = [
        Reading(
            machine_id=f"pump-{number}",
            machine_type=machine_type,
            timestamp_ms=START_MS + STEP_MS * row,
            sensors=dict(zip(SENSORS, line, strict=True)),
        )
        for number in (1, 2)
        for row, line in enumerate(ordinary(seed=number).tolist())
    ]
    database.record_store().record(
        "test", RecordBatch(offsets={}, readings=readings), lambda _: None
    )
    trainer = assemble(
        TrainerSettings(trainer_evaluate_faults=False, trainer_niceness=0),
        Ports(
            broker=broker,
            registry=registry,
            store=database.fleet_store(),
            queue=database.job_queue(),
            promotion_log=database.promotion_log(),
            gate_log=database.gate_log(),
            comparisons=database.comparison_store(),
            trigger_log=database.trigger_log(),
            retention=database.retention_store(),
            clock=SystemClock(),
            database=lambda: None,
            tracking=lambda: None,
            stream=lambda: None,
        ),
    )
    job = database.job_queue().submit(TrainingRequest(machine_type=machine_type))
    trainer.worker.step(threading.Event())
    assert database.job_queue().get(job.job_id).state is JobState.SUCCEEDED
    version = registry.production(model_name(machine_type))
    assert version is not None
    folder = registry.download(version.name, version.version, tmp_path_factory.mktemp("bundle"))
    return World(platform.mlflow, registry, version, read_bundle(folder).detector)


@pytest.fixture
def mlflow(world: World) -> Iterator[Any]:
    with warnings.catch_warnings():
        # MLflow is not content with its own type hints.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.data  # noqa: PLC0415 - takes seconds
        import mlflow.pyfunc  # noqa: PLC0415
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(world.uri)
    yield mlflow
    mlflow.set_tracking_uri(before)


def faultline(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from faultline.cli import main; main()", *arguments],
        env={**os.environ, "MLFLOW_TRACKING_URI": world.uri, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_rows_are_an_input_of_the_run_named_by_their_hash(world: World, mlflow: Any) -> None:
    run = mlflow.MlflowClient().get_run(world.version.run_id)
    [listed] = run.inputs.dataset_inputs
    recorded = world.version.tags["data_version"]
    assert listed.dataset.digest == recorded[:36]
    folder = Path(mlflow.data.get_source(listed).load())
    assert data_version(SENSORS, read_rows(folder / "readings.parquet", SENSORS)) == recorded


def test_a_version_can_be_reproduced(world: World) -> None:
    done = faultline(world, "reproduce", world.version.name, world.version.version, "--json")
    assert done.returncode == 0, done.stderr
    [registry] = done.stderr.splitlines()
    assert registry.startswith("registry: http")
    told = json.loads(done.stdout)
    assert told["equal"] is True
    assert told["rows"] == 600
    assert {array["equal"] for array in told["arrays"].values()} == {True}
    assert told["environment"] == {}


def test_a_version_whose_bundle_was_altered_is_not_the_same(world: World, tmp_path: Path) -> None:
    folder = world.registry.download_artifacts(
        world.version.run_id, "dataset", tmp_path / "artifacts" / "dataset", 10**7
    )
    altered = replace(
        world.detector, centre=np.add(world.detector.centre, [0.0, np.spacing(50.0), 0.0])
    )
    name = world.version.name
    write_bundle(
        folder.parent / "model",
        altered,
        golden_batch(altered, MachineHistory("pump-1", times(120), day())),
        model_name=name,
        machine_type=name.removeprefix("faultline-"),
        created_ms=1,
    )
    run_id = world.registry.log_run(TrainingRun(name, "altered", {}, [], {}, folder.parent))
    version = world.registry.register(name, run_id, {}, "Altered on purpose.").version
    done = faultline(world, "reproduce", name, version)
    assert done.returncode == 1
    assert "not equal: centre (differs by 7.11e-15 at most)" in done.stdout
    assert "not equal: scale" not in done.stdout


def test_a_model_is_no_pickle(world: World, mlflow: Any) -> None:
    client = mlflow.MlflowClient()
    listed = [
        entry.path.removeprefix("model/")
        for folder in ("model", "model/bundle")
        for entry in client.list_artifacts(world.version.run_id, folder)
        if not entry.is_dir
    ]
    assert sorted(listed) == [
        "MLmodel",
        "bundle/arrays.npz",
        "bundle/golden.npz",
        "bundle/manifest.json",
        "bundle/reference.npz",
        "model.py",
        "python_env.yaml",
        "requirements.txt",
    ]


@pytest.mark.parametrize("machine_id", [None, "pump-1", "pump-7"])
def test_the_pyfunc_by_alias_scores_as_the_detector_does(
    world: World, mlflow: Any, machine_id: str | None
) -> None:
    import pandas as pd  # noqa: PLC0415 - with MLflow's full package

    model = mlflow.pyfunc.load_model(f"models:/{world.version.name}@production")
    frame = pd.DataFrame(day(), columns=SENSORS)
    if machine_id is not None:
        frame["machine_id"] = machine_id
        frame["timestamp"] = pd.to_datetime(times(120), unit="ms", utc=True)
    answer = model.predict(frame)
    score, statuses = world.scored(machine_id)
    np.testing.assert_allclose(answer["score"], score, rtol=0, atol=1e-9)
    assert answer["status"].tolist() == statuses
    assert "failure" in statuses
    failing = answer[answer["status"] == "failure"]
    assert set(failing["top_sensor"].tail(10)) == {"load"}
    assert failing["top_share"].between(0, 1).all()
    assert set(answer["cluster"]) <= {-1, 0, 1}
    assert answer["known"].dtype == np.bool_


def test_rows_of_several_machines_are_judged_apart_and_given_in_their_order(
    world: World, mlflow: Any
) -> None:
    import pandas as pd  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(f"models:/{world.version.name}@production")
    frame = pd.DataFrame(np.repeat(day(), 2, axis=0), columns=SENSORS)
    frame["machine_id"] = ["pump-1", "pump-2"] * 120
    frame["timestamp"] = [format_timestamp(at) for at in np.repeat(times(120), 2).tolist()]
    frame.index = range(1000, 1240)
    answer = model.predict(frame)
    assert answer.index.tolist() == frame.index.tolist()
    for first, machine_id in enumerate(("pump-1", "pump-2")):
        own = answer["score"].to_numpy()[first::2]
        np.testing.assert_allclose(own, world.scored(machine_id)[0], rtol=0, atol=1e-9)


def test_whole_numbers_and_absent_sensors_are_taken(world: World, mlflow: Any) -> None:
    import pandas as pd  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(f"models:/{world.version.name}@production")
    frame = pd.DataFrame({"flow": [10] * 40, "heat": [50] * 40, "smell": ["bad"] * 40})
    answer = model.predict(frame)
    assert answer["status"].tolist()[-1] in {"normal", "failure"}
    empty = model.predict(pd.DataFrame({"flow": [None, 10.0]}))
    # A row without any value is a reading too, as on the stream.
    assert empty["status"].tolist() == ["warming_up", "warming_up"]


def test_a_cell_that_is_no_number_is_refused_by_its_column(world: World, mlflow: Any) -> None:
    import pandas as pd  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(f"models:/{world.version.name}@production")
    with pytest.raises(Exception, match="column 'flow': must hold numbers"):
        model.predict(pd.DataFrame({"flow": ["much"]}))
    with pytest.raises(Exception, match="row 1: timestamp"):
        model.predict(pd.DataFrame({"flow": [1.0, 1.0], "timestamp": [START_MS, "noon"]}))


@contextmanager
def served(world: World, folder: Path) -> Iterator[str]:
    """Serve the Production version by MLflow's own server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--model-uri", f"models:/{world.version.name}@production"]
    where = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", *command, *where],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": world.uri,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            # Of a session of its own: the server is a child of MLflow's command.
            os.killpg(process.pid, 9)
            process.wait(30)


def test_mlflow_serves_the_production_version(world: World, tmp_path: Path) -> None:
    records = [
        {"timestamp": int(at), **{name: None if np.isnan(v) else v for name, v in row.items()}}
        for at, row in zip(
            times(120), (dict(zip(SENSORS, line, strict=True)) for line in day()), strict=True
        )
    ]
    deadline_s = time.monotonic() + _PATIENCE_S
    with served(world, tmp_path) as url:
        while True:
            assert time.monotonic() < deadline_s, (tmp_path / "serve.log").read_text()
            try:
                answer = httpx.post(
                    f"{url}/invocations",
                    json={"dataframe_records": records},
                    trust_env=False,
                    timeout=10,
                )
                break
            except httpx.TransportError:
                time.sleep(0.1)
    predictions = answer.raise_for_status().json()["predictions"]
    score, statuses = world.scored(None)
    np.testing.assert_allclose([one["score"] for one in predictions], score, rtol=0, atol=1e-9)
    assert [one["status"] for one in predictions] == statuses


def test_the_pyfunc_says_of_each_row_what_faultline_score_says(
    world: World, mlflow: Any, tmp_path: Path
) -> None:
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame(day(), columns=SENSORS)
    frame.insert(0, "timestamp", [format_timestamp(at) for at in times(120).tolist()])
    frame.insert(1, "machine_id", "pump-1")
    frame.to_csv(tmp_path / "day.csv", index=False)
    reference = f"models:/{world.version.name}@production"
    files = ["--input", str(tmp_path / "day.csv"), "--output", str(tmp_path / "scores.csv")]
    done = faultline(world, "score", "--model", reference, *files, "--machine-column", "machine_id")
    assert done.returncode == 0, done.stderr
    said = pd.read_csv(tmp_path / "scores.csv")
    answer = mlflow.pyfunc.load_model(reference).predict(frame)
    np.testing.assert_allclose(answer["score"], said["score"], rtol=0, atol=1e-9)
    assert answer["status"].tolist() == said["status"].tolist()
    assert answer["cluster"].tolist() == said["cluster"].fillna(-1).astype(int).tolist()
    assert answer["top_sensor"].fillna("").tolist() == said["top_sensor"].fillna("").tolist()
