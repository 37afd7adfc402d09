"""The gate and the backtest on the real PostgreSQL and MLflow, in this process.

Each test has a machine type of its own, and writes its history as the recorder would.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.events import model_name
from faultline.gate_report import Decision
from faultline.labels import FaultLabel
from faultline.local.home import Endpoints
from faultline.ports.jobs import TrainingJob, TrainingRequest
from faultline.ports.registry import Stage
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading
from faultline.settings import RegistrySettings
from faultline.topics import MODEL_EVENTS
from services.trainer.assembly import Ports, assemble
from services.trainer.settings import TrainerSettings

pytestmark = pytest.mark.real

START_MS = 1_795_000_000_000
STEP_MS = 1_000


def ordinary(rows: int, seed: int) -> np.ndarray:
    """Rows of a machine with two operating regimes, which it changes irregularly."""
    random = np.random.default_rng(seed)
    changes = np.repeat(np.arange(rows) % 2, random.integers(15, 40, rows))
    regime = changes[:rows, None]
    return random.normal([10.0, 50.0, 3.0], [0.5, 1.0, 0.1], (rows, 3)) + regime * [4.0, 9.0, 1.0]


def at(row: int) -> int:
    return START_MS + row * STEP_MS


class World:
    """A trainer in this process, whose jobs no other takes."""

    def __init__(self, platform: Endpoints) -> None:
        migrate(platform.database_url)
        self.database = PostgresDatabase(platform.database_url)
        self.registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
        broker = MemoryBroker()
        broker.create_topics([MODEL_EVENTS])
        self.trainer = assemble(
            TrainerSettings(trainer_niceness=0),
            Ports(
                broker=broker,
                registry=self.registry,
                store=self.database.fleet_store(),
                queue=self.database.job_queue(),
                promotion_log=self.database.promotion_log(),
                gate_log=self.database.gate_log(),
                trigger_log=self.database.trigger_log(),
                retention=self.database.retention_store(),
                comparisons=self.database.comparison_store(),
                clock=SystemClock(),
                database=lambda: None,
                tracking=lambda: None,
                stream=lambda: None,
            ),
            draw=lambda folder, *_: (folder / "drawn.png").touch(),
        )
        self.http = TestClient(self.trainer.app)

    def store(self, machine_type: str, values: np.ndarray, first: int = 0) -> None:
        readings = [
            Reading(
                machine_id=f"{machine_type}/1",
                machine_type=machine_type,
                timestamp_ms=at(first + row),
                sensors=dict(zip(("flow", "heat", "load"), line, strict=True)),
            )
            for row, line in enumerate(values.tolist())
        ]
        self._record(RecordBatch(offsets={}, readings=readings))

    def label(self, machine_type: str, start: int, end: int) -> None:
        label = FaultLabel(
            machine_id=f"{machine_type}/1", kind="leak", start_ms=at(start), end_ms=at(end)
        )
        self._record(RecordBatch(offsets={}, labels=[label]))

    def _record(self, batch: RecordBatch) -> None:
        self.database.record_store().record("test", batch, lambda _: None)

    def train(self, machine_type: str, **request: Any) -> TrainingJob:
        queue = self.database.job_queue()
        job = queue.submit(TrainingRequest(machine_type=machine_type, **request))
        while self.trainer.worker.step(threading.Event()):
            pass
        return queue.get(job.job_id)

    def backtest(self, machine_type: str, version: str, **request: Any) -> Any:
        url = f"/api/v1/ml/models/{model_name(machine_type)}/versions/{version}/backtest"
        return self.http.post(url, json=request)


@pytest.fixture(scope="module")
def world(platform: Endpoints) -> Iterator[World]:
    made = World(platform)
    yield made
    made.database.dispose()


@pytest.fixture
def machine_type() -> str:
    return f"it-{uuid4().hex[:12]}"


def test_a_version_that_learnt_a_fault_is_refused_and_a_better_one_passes(
    world: World, machine_type: str
) -> None:
    name = model_name(machine_type)
    rows = ordinary(900, seed=1)
    faulty = rows[450:600] + 6.0
    world.store(machine_type, rows[:450])
    world.store(machine_type, faulty, first=450)
    assert world.train(machine_type, end_ms=at(450)).promoted

    worse = world.train(machine_type)
    assert (worse.promoted, worse.model_version) == (False, "2")
    assert "in alarm by version 1 and not by it" in str(worse.decision)
    production = world.registry.production(name)
    assert production is not None
    assert production.version == "1"
    refused = world.registry.version(name, "2")
    assert refused.stage is Stage.ARCHIVED
    assert refused.tags["gate"] == "refused"
    (decision,) = world.database.gate_log().list(name, "2")
    assert decision.decision is Decision.REFUSED
    assert decision.report.champion == "1"
    assert decision.reason == refused.tags["gate_reason"]

    # Somebody says what it was; it is left out, and new readings have come.
    world.label(machine_type, 450, 600)
    world.store(machine_type, rows[600:], first=600)
    better = world.train(machine_type)
    assert better.promoted, better.decision
    assert "1 of 1 known faults found, the champion finds 1" in str(better.decision)
    production = world.registry.production(name)
    assert production is not None
    assert (production.version, production.tags["gate"]) == ("3", "passed")


def test_a_version_that_learnt_from_too_little_is_refused(world: World, machine_type: str) -> None:
    world.store(machine_type, ordinary(600, seed=2))
    assert world.train(machine_type).promoted
    job = world.train(machine_type, end_ms=at(150))
    assert not job.promoted
    assert "141 windows of one machine to learn from, at least 200 asked for" in str(job.decision)
    production = world.registry.production(model_name(machine_type))
    assert production is not None
    assert production.version == "1"


def test_a_backtest_shows_a_labelled_fault_that_nobody_alarmed_of(
    world: World, machine_type: str
) -> None:
    rows = ordinary(900, seed=3)
    rows[700:760] += 6.0
    world.store(machine_type, rows)
    world.label(machine_type, 700, 760)
    assert world.train(machine_type, end_ms=at(600)).promoted
    answer = world.backtest(machine_type, "1", start=at(600))
    assert answer.status_code == 200
    told = answer.json()
    assert told["readings"] == 300
    assert told["learnt_readings"] == 0
    (fault,) = told["faults"]
    assert fault["then_delay_s"] is None
    assert 0 < fault["now_delay_s"] < 15
    assert (told["now"]["recall"], told["then"]["faults_found"]) == (1.0, 0)
    assert "now" in {one["found_by"] for one in told["alarms"]}
    assert world.database.fleet_store().alarms(f"{machine_type}/1") == []


def test_what_cannot_be_replayed_is_refused(world: World, machine_type: str) -> None:
    name = model_name(machine_type)
    assert world.backtest(machine_type, "1").status_code == 404
    world.store(machine_type, ordinary(300, seed=4))
    world.train(machine_type)
    assert world.backtest(machine_type, "9").status_code == 404
    assert world.backtest(machine_type, "1", machines=["nobody"]).status_code == 404
    assert world.backtest(machine_type, "1", start=2, end=1).status_code == 422
    world.registry.set_tags(name, "1", {"bundle_sha256": "0" * 64})
    refused = world.backtest(machine_type, "1")
    assert refused.status_code == 409
    assert "was altered" in refused.json()["detail"]
