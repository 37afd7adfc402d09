"""The trainer's process on the real Kafka, PostgreSQL and MLflow.

Each test has a machine type of its own, and writes its history as the recorder would.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from faultline import events, topics
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.bundle import read_bundle
from faultline.client import TrainerClient
from faultline.detector import RowState, Window
from faultline.errors import Conflict
from faultline.events import ModelEvent, model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.ports.jobs import JobState
from faultline.ports.registry import Stage
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading
from faultline.settings import KafkaSettings, RegistrySettings

pytestmark = pytest.mark.real

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.05
_START_MS = 1_795_000_000_000


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


@dataclass
class Running:
    """A trainer process."""

    process: subprocess.Popen[bytes]
    url: str
    client: TrainerClient

    def ready(self) -> bool:
        assert self.process.poll() is None, "the trainer ended by itself"
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False


class World:
    """The platform, and what the tests look at."""

    def __init__(self, platform: Endpoints, folder: Path) -> None:
        self._platform = platform
        self._folder = folder
        self.database = PostgresDatabase(platform.database_url)
        self.broker = KafkaBroker(
            KafkaSettings(kafka_bootstrap_servers=platform.kafka), client_id="test-trainer"
        )
        self.broker.create_topics(topics.ALL)
        self.registry = MlflowRegistry(
            RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow, mlflow_timeout_s=20.0)
        )
        self.client = MlflowClient(platform.mlflow, platform.mlflow)

    def close(self) -> None:
        self.broker.close()
        self.database.dispose()

    @contextmanager
    def trainer(self, **settings: str) -> Iterator[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": self._platform.kafka,
            "FAULTLINE_DATABASE_URL": self._platform.database_url,
            "MLFLOW_TRACKING_URI": self._platform.mlflow,
            "FAULTLINE_TRAINER_PORT": str(port),
            "FAULTLINE_TRAINER_POLL_S": "0.1",
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        url = f"http://127.0.0.1:{port}"
        with ExitStack() as open_:
            log = open_.enter_context((self._folder / "trainer.log").open("ab"))
            process = subprocess.Popen(
                [sys.executable, "-m", "services.trainer"], env=environment, stderr=log
            )
            open_.callback(process.wait, 30)
            open_.callback(process.kill)
            running = Running(process, url, open_.enter_context(TrainerClient(url)))
            until(running.ready, "a trainer that is ready")
            yield running

    def store(self, machine_type: str, values: np.ndarray, machine_id: str | None = None) -> None:
        self.database.record_store().record(
            "test",
            RecordBatch(
                offsets={},
                readings=[
                    Reading(
                        machine_id=machine_id or f"{machine_type}/1",
                        machine_type=machine_type,
                        timestamp_ms=_START_MS + 1_000 * row,
                        sensors=dict(zip(("flow", "heat", "load"), line, strict=True)),
                    )
                    for row, line in enumerate(values.tolist())
                ],
            ),
            lambda _: None,
        )

    def events(self, name: str) -> list[ModelEvent]:
        found = [
            events.decode(message.value)
            for number in range(topics.MODEL_EVENTS.partitions)
            for message in self.broker.read(Partition(topics.MODEL_EVENTS.name, number))
        ]
        return [one for one in found if one.model_name == name]


def ordinary(rows: int = 300, seed: int = 1) -> np.ndarray:
    """Rows of a machine with two operating regimes, which it changes irregularly."""
    random = np.random.default_rng(seed)
    changes = np.repeat(np.arange(rows) % 2, random.integers(15, 40, rows))
    regime = changes[:rows, None]
    return random.normal([10.0, 50.0, 3.0], [0.5, 1.0, 0.1], (rows, 3)) + regime * [4.0, 9.0, 1.0]


@pytest.fixture(scope="module")
def world(platform: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    migrate(platform.database_url)
    made = World(platform, tmp_path_factory.mktemp("trainer"))
    yield made
    made.close()


@pytest.fixture(scope="class")
def trainer(world: World) -> Iterator[Running]:
    """One that a class of tests shares; no other may take their jobs, nor it the others'."""
    with world.trainer() as running:
        yield running


@pytest.fixture
def machine_type() -> str:
    return f"it-{uuid4().hex[:12]}"


class TestOneTrainer:
    """What one does that nothing happens to."""

    def test_a_version_is_trained_judged_promoted_and_followed_by_the_next(
        self, world: World, trainer: Running, machine_type: str, tmp_path: Path
    ) -> None:
        name = model_name(machine_type)
        for number in (1, 2):
            world.store(machine_type, ordinary(seed=number), f"{machine_type}/{number}")

        first = trainer.client.wait(
            trainer.client.train(machine_type).job_id, timeout_s=_PATIENCE_S
        )
        assert (first.state, first.model_version, first.promoted) == (JobState.SUCCEEDED, "1", True)
        production = world.registry.production(name)
        assert production is not None
        assert (production.version, production.stage) == ("1", Stage.PRODUCTION)
        assert production.aliases == {"production"}
        assert production.tags["gate"] == "passed"
        assert float(production.tags["silhouette"]) > 0.5
        assert production.description.startswith("Trained on 600 readings of 2 machines")

        same = trainer.client.wait(trainer.client.train(machine_type).job_id, timeout_s=_PATIENCE_S)
        assert (same.model_version, same.unchanged, same.promoted) == ("1", True, False)

        second = trainer.client.wait(
            trainer.client.train(machine_type, repeat=True).job_id, timeout_s=_PATIENCE_S
        )
        assert (second.model_version, second.unchanged) == ("2", False)
        assert {one.version: one.stage for one in world.registry.versions(name)} == {
            "2": Stage.PRODUCTION,
            "1": Stage.ARCHIVED,
        }
        log = world.database.promotion_log().list(name)
        assert [(row.to_version, row.from_version) for row in log] == [("2", "1"), ("1", None)]
        assert [(str(one.kind), one.model_version) for one in world.events(name)] == [
            ("registered", "1"),
            ("gate_passed", "1"),
            ("promoted", "1"),
            ("registered", "2"),
            ("gate_passed", "2"),
            ("promoted", "2"),
            ("archived", "1"),
        ]

        bundle = read_bundle(world.registry.download(name, "2", tmp_path / "bundle"))
        assert bundle.sha256 == world.registry.version(name, "2").tags["bundle_sha256"]
        rows = world.database.fleet_store().readings(f"{machine_type}/1")
        empty = Window.empty(bundle.detector.sensors)
        scores, _ = bundle.detector.score(empty, rows.timestamps_ms, rows.values)
        assert np.mean(scores.score[scores.state == RowState.SCORED] > 1) < 0.1

    def test_history_that_cannot_be_learnt_from_registers_nothing(
        self, world: World, trainer: Running, machine_type: str
    ) -> None:
        world.store(machine_type, np.full((300, 3), 7.0))
        job = trainer.client.wait(trainer.client.train(machine_type).job_id, timeout_s=_PATIENCE_S)
        assert job.state is JobState.FAILED
        assert "constant: always 7" in str(job.error)
        assert model_name(machine_type) not in world.registry.models()
        assert world.events(model_name(machine_type)) == []

    def test_a_refused_version_is_archived_until_someone_forces_it(
        self, world: World, trainer: Running, machine_type: str
    ) -> None:
        name = model_name(machine_type)
        # Enough to fit, too little for the gate.
        world.store(machine_type, ordinary(rows=180))
        job = trainer.client.wait(trainer.client.train(machine_type).job_id, timeout_s=_PATIENCE_S)
        assert (job.state, job.promoted) == (JobState.SUCCEEDED, False)
        refused = world.registry.version(name, "1")
        assert (refused.stage, refused.aliases) == (Stage.ARCHIVED, set())
        with pytest.raises(Conflict, match="windows of one machine to learn from"):
            trainer.client.promote(name, "1")
        answer = trainer.client.promote(name, "1", reason="there is no more", force=True)
        assert answer["stage"] == "Production"
        assert [str(one.kind) for one in world.events(name)] == [
            "registered",
            "gate_refused",
            "promoted",
        ]


def test_a_job_whose_trainer_is_killed_is_done_by_the_next_one_once(
    world: World, machine_type: str
) -> None:
    name = model_name(machine_type)
    world.store(machine_type, ordinary())
    with world.trainer(FAULTLINE_TRAINER_LEASE_S="2") as doomed:
        job_id = doomed.client.train(machine_type).job_id
        until(lambda: doomed.client.job(job_id).state != JobState.QUEUED, "a job that has begun")
        doomed.process.send_signal(signal.SIGKILL)
        doomed.process.wait(30)
    with world.trainer() as heir:
        job = heir.client.wait(job_id, timeout_s=_PATIENCE_S)
        assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
        heir.process.send_signal(signal.SIGTERM)
        assert heir.process.wait(30) == 0
    assert [one.version for one in world.registry.versions(name)] == ["1"]
    assert len(world.database.promotion_log().list(name)) == 1
    told = {one.event_id: str(one.kind) for one in world.events(name)}
    assert sorted(told.values()) == ["gate_passed", "promoted", "registered"]


def test_a_job_that_is_worked_on_can_be_cancelled_and_leaves_no_version(
    world: World, machine_type: str
) -> None:
    name = model_name(machine_type)
    # Enough that it is worked on for a while.
    world.store(machine_type, ordinary(rows=4_000))
    with world.trainer() as running:
        cancelled = running.client.train(machine_type).job_id
        until(
            lambda: "fitting" in running.client.job(cancelled).progress, "a job that is worked on"
        )
        answer = httpx.post(
            f"{running.url}/api/v1/ml/models/train/{cancelled}/cancel", trust_env=False
        )
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        # The next of the type begins when the worker has let go of it.
        job = running.client.wait(running.client.train(machine_type).job_id, timeout_s=_PATIENCE_S)
        assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
        assert running.client.job(cancelled).state is JobState.CANCELLED
        late = httpx.post(
            f"{running.url}/api/v1/ml/models/train/{job.job_id}/cancel", trust_env=False
        )
        assert late.status_code == 409
    assert [one.version for one in world.registry.versions(name)] == ["1"]


def test_a_running_trainer_follows_an_alias_moved_by_hand_and_knows_what_was_live_when(
    world: World, machine_type: str
) -> None:
    name = model_name(machine_type)
    world.store(machine_type, ordinary())
    with world.trainer(FAULTLINE_TRAINER_RECONCILE_S="0.2") as running:
        for _ in range(2):
            asked = running.client.train(machine_type, repeat=True)
            running.client.wait(asked.job_id, timeout_s=_PATIENCE_S)

        def live(at_ms: int | None = None) -> tuple[str, str]:
            told = running.client.history(name, at_ms)["live"]
            return told["version"], told["kind"]

        assert live() == ("2", "promotion")
        running.client.roll_back(name, reason="cries wolf", requested_by="eve")
        rolled_back_ms = time.time_ns() // 1_000_000
        assert live() == ("1", "rollback")
        world.client.set_registered_model_alias(name, "production", "2")
        until(lambda: live() == ("2", "external"), "what another client did")
        assert live(rolled_back_ms) == ("1", "rollback")
        [newest, *_] = running.client.history(name)["promotions"]
        assert (newest["actor"], newest["gate"]) == ("external", "passed")
    assert {one.version: one.stage for one in world.registry.versions(name)} == {
        "2": Stage.PRODUCTION,
        "1": Stage.ARCHIVED,
    }


def test_of_two_trainers_asked_at_once_one_promotes(world: World, machine_type: str) -> None:
    name = model_name(machine_type)
    world.store(machine_type, ordinary())
    with world.trainer() as one, world.trainer() as other:
        for _ in range(3):
            made = one.client.train(machine_type, repeat=True)
            one.client.wait(made.job_id, timeout_s=_PATIENCE_S)
        # Versions 1 and 2 at the same moment, again and again: never half of both.
        for _ in range(5):
            with ThreadPoolExecutor(2) as threads:
                asked = [
                    threads.submit(running.client.promote, name, version, reason="race")
                    for running, version in ((one, "1"), (other, "2"))
                ]
            done = [future for future in asked if future.exception() is None]
            refused = [future.exception() for future in asked if future.exception() is not None]
            assert done
            assert all(isinstance(error, Conflict) for error in refused)
            production = world.registry.production(name)
            assert production is not None
            newest = world.database.promotion_log().list(name)[0]
            assert newest.to_version == production.version
            stages = [each.stage for each in world.registry.versions(name)]
            assert sorted(stages) == ["Archived", "Archived", "Production"]
            one.client.promote(name, "3", reason="from the start again")
