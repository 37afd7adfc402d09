"""A trainer that dies at any step of registering a version, on the real MLflow.

Death is an exception that nothing catches, and after it not one request goes out any more, not even
to tidy up. The queue and the gate's log are in memory, and live on.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.mlflow import MlflowRegistry
from faultline.bundle import MANIFEST, read_bundle
from faultline.events import ModelEventKind, decode, model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.ports.jobs import JobState, TrainingRequest
from faultline.ports.registry import ModelVersion, Stage
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading
from faultline.settings import RegistrySettings
from faultline.topics import MODEL_EVENTS
from services.trainer.assembly import Ports, Trainer, assemble
from services.trainer.settings import TrainerSettings

pytestmark = pytest.mark.real

LEASE_S = 60.0
START_MS = 1_795_000_000_000
# In this order: the run with its files, the gate's report, the right to go on, the version, its
# alias, its stage, and who it was about.
STEPS = [
    "create_run",
    "log_batch",
    "log_artifacts",
    "log_inputs",
    "set_terminated",
    "record",
    "commit",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "set_model_version_tag",
    "name_version",
]
WHILE_A_RUN_IS_LOGGED = STEPS[: STEPS.index("set_terminated")]


class Killed(BaseException):
    """The end of a process."""


class Life:
    """Of one trainer: over as soon as a call of this name was answered."""

    def __init__(self, last_call: str | None = None) -> None:
        self.last_call = last_call
        self.is_over = False

    def of(self, port: Any) -> Any:
        return Mortal(port, self)


class Mortal:
    """A port that is used by someone who may die."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            if self._life.is_over:
                raise Killed
            answer = found(*given, **named)
            if name == self._life.last_call:
                self._life.is_over = True
                raise Killed
            return answer

        return call


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.ms = START_MS + 10_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000

    def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)


class World:
    """The real MLflow, what outlives a trainer, and one trainer after the other."""

    def __init__(self, platform: Endpoints) -> None:
        self.kind = f"t{uuid4().hex[:12]}"
        self.name = model_name(self.kind)
        self.clock = FakeClock()
        self.database = MemoryDatabase(self.clock)
        self.broker = MemoryBroker()
        self.broker.create_topics([MODEL_EVENTS])
        self._settings = RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow)
        self.registry = MlflowRegistry(self._settings)

    def trainer(self, life: Life) -> Trainer:
        registry = MlflowRegistry(self._settings)
        registry._client = life.of(registry._client)
        registry._store = life.of(registry._store)
        return assemble(
            TrainerSettings(
                trainer_lease_s=LEASE_S, trainer_evaluate_faults=False, trainer_niceness=0
            ),
            Ports(
                broker=self.broker,
                registry=registry,
                store=self.database.fleet_store(),
                queue=life.of(self.database.job_queue()),
                promotion_log=self.database.promotion_log(),
                gate_log=life.of(self.database.gate_log()),
                comparisons=self.database.comparison_store(),
                trigger_log=self.database.trigger_log(),
                retention=self.database.retention_store(),
                clock=self.clock,
                database=lambda: None,
                tracking=lambda: None,
                stream=lambda: None,
            ),
            draw=lambda folder, *_: (folder / "drawn.png").touch(),
        )

    def store_history(self) -> None:
        random = np.random.default_rng(1)
        regime = (np.arange(300) // 25 % 2)[:, None]
        rows = random.normal([10.0, 50.0], [0.5, 1.0], (300, 2)) + regime * [4.0, 9.0]
        readings = [
            Reading(
                machine_id="pump-1",
                machine_type=self.kind,
                timestamp_ms=START_MS + 1_000 * row,
                sensors=dict(zip(("flow", "heat"), line, strict=True)),
            )
            for row, line in enumerate(rows.tolist())
        ]
        self.database.record_store().record(
            "test", RecordBatch(offsets={}, readings=readings), lambda _: None
        )

    def versions(self) -> list[ModelVersion]:
        return (
            [] if self.name not in self.registry.models() else [*self.registry.versions(self.name)]
        )

    def run_states(self) -> list[str]:
        client = MlflowClient(tracking_uri=self._settings.mlflow_tracking_uri)
        experiment = client.get_experiment_by_name(self.name)
        assert experiment is not None
        return [run.info.status for run in client.search_runs([experiment.experiment_id])]

    def told(self) -> set[tuple[ModelEventKind, str]]:
        return {
            (event.kind, event.model_version)
            for number in range(MODEL_EVENTS.partitions)
            for message in self.broker.read(Partition(MODEL_EVENTS.name, number))
            for event in [decode(message.value)]
        }


@pytest.fixture
def world(platform: Endpoints) -> World:
    world = World(platform)
    world.store_history()
    return world


def assert_whole(world: World, version: ModelVersion, folder: Path) -> None:
    """It says what the gate said and what it is made of, and its bundle is there and that."""
    assert version.tags["gate"] in {"passed", "refused"}
    assert version.tags["gate_reason"]
    assert float(version.tags["silhouette"]) > 0
    assert version.tags["data_version"]
    assert version.description
    files = world.registry.download(version.name, version.version, folder)
    read_bundle(files)
    assert (
        hashlib.sha256((files / MANIFEST).read_bytes()).hexdigest()
        == (version.tags["bundle_sha256"])
    )


@pytest.mark.parametrize("last_call", STEPS)
def test_a_registration_that_is_cut_off_is_completed_once(
    world: World, tmp_path: Path, last_call: str
) -> None:
    queue = world.database.job_queue()
    asked = TrainingRequest(machine_type=world.kind, promotion="hold", hyperparameters={"k_max": 2})
    job = queue.submit(asked)
    with pytest.raises(Killed):
        world.trainer(Life(last_call)).worker.step(threading.Event())
    for number, left in enumerate(world.versions()):
        # What is there can be found by others already.
        assert_whole(world, left, tmp_path / f"left-{number}")

    world.clock.sleep(LEASE_S + 1)
    assert world.trainer(Life()).worker.step(threading.Event())
    done = queue.get(job.job_id)
    assert (done.state, done.model_version) == (JobState.SUCCEEDED, "1")
    [version] = world.versions()
    assert (version.version, version.stage, version.aliases) == ("1", Stage.STAGING, {"staging"})
    assert version.tags["stage"] == "Staging"
    assert version.tags["job_id"] == job.job_id
    assert_whole(world, version, tmp_path / "bundle")
    gate = ModelEventKind.GATE_PASSED
    if version.tags["gate"] == "refused":
        gate = ModelEventKind.GATE_REFUSED
    assert world.told() == {(ModelEventKind.REGISTERED, "1"), (gate, "1")}
    [judged] = world.database.gate_log().list(world.name)
    assert judged.model_version == "1"
    # Whoever looks at MLflow sees no run that goes on for ever.
    states = world.run_states()
    assert set(states) <= {"FINISHED", "KILLED"}
    assert ("KILLED" in states) == (last_call in WHILE_A_RUN_IS_LOGGED)
