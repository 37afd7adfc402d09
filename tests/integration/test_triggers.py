"""Trainings that start by themselves, on the real Kafka, PostgreSQL and MLflow."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from faultline import drift, topics
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading
from faultline.settings import KafkaSettings, RegistrySettings

pytestmark = pytest.mark.real

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.05


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


class World:
    """A trainer process on the platform."""

    def __init__(self, platform: Endpoints, folder: Path, open_: ExitStack) -> None:
        self.database = PostgresDatabase(platform.database_url)
        open_.callback(self.database.dispose)
        self.broker = KafkaBroker(
            KafkaSettings(kafka_bootstrap_servers=platform.kafka), client_id="test-triggers"
        )
        open_.callback(self.broker.close)
        self.broker.create_topics(topics.ALL)
        self.registry = MlflowRegistry(
            RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow, mlflow_timeout_s=20.0)
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka,
            "FAULTLINE_DATABASE_URL": platform.database_url,
            "MLFLOW_TRACKING_URI": platform.mlflow,
            "FAULTLINE_TRAINER_PORT": str(port),
            "FAULTLINE_TRAINER_POLL_S": "0.1",
            "OMP_NUM_THREADS": "1",
        }
        log = open_.enter_context((folder / "trainer.log").open("wb"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.trainer"], env=environment, stderr=log
        )
        # Told to stop, so that it leaves its group and nobody has to wait for it.
        open_.callback(self.process.wait, 30)
        open_.callback(self.process.terminate)
        self.http = open_.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30.0)
        )
        until(self._ready, "a trainer that is ready")

    def _ready(self) -> bool:
        assert self.process.poll() is None, "the trainer ended by itself"
        try:
            return self.http.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def store(self, machine_type: str, rows: int = 300) -> None:
        """A history of a machine with two operating regimes."""
        random = np.random.default_rng(1)
        regime = (np.repeat(np.arange(rows), 20)[:rows] % 2)[:, None]
        values = random.normal([10.0, 50.0], [0.5, 1.0], (rows, 2)) + regime * [4.0, 9.0]
        readings = [
            Reading(
                machine_id=f"{machine_type}/1",
                machine_type=machine_type,
                timestamp_ms=1_795_000_000_000 + 1_000 * row,
                sensors=dict(zip(("flow", "heat"), line, strict=True)),
            )
            for row, line in enumerate(values.tolist())
        ]
        self.database.record_store().record(
            "test", RecordBatch(offsets={}, readings=readings), lambda _: None
        )

    def drift(self, machine_type: str, event_id: str) -> None:
        event = DriftEvent(
            event_id=event_id,
            machine_type=machine_type,
            model_name=model_name(machine_type),
            model_version="1",
            at_ms=time.time_ns() // 1_000_000,
            findings=(Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.3),),
            start_ms=1_795_000_000_000,
            end_ms=1_795_000_300_000,
            readings=300,
        )
        producer = self.broker.producer()
        producer.send(topics.DRIFT_EVENTS.name, machine_type.encode(), drift.encode(event))
        producer.flush(30.0)

    def triggers(self, machine_type: str) -> list[dict[str, Any]]:
        """Oldest first."""
        answer = self.http.get("/api/v1/ml/models/triggers", params={"machine_type": machine_type})
        told: list[dict[str, Any]] = answer.raise_for_status().json()["triggers"]
        return told[::-1]

    def jobs(self, machine_type: str) -> list[dict[str, Any]]:
        answer = self.http.get("/api/v1/ml/models/train", params={"limit": 1_000})
        return [job for job in answer.json()["jobs"] if job["machine_type"] == machine_type]


@pytest.fixture
def world(platform: Endpoints, tmp_path: Path) -> Iterator[World]:
    migrate(platform.database_url)
    with ExitStack() as open_:
        yield World(platform, tmp_path, open_)


def test_drift_starts_one_training_and_within_the_cooldown_no_other(world: World) -> None:
    machine_type = f"it-{uuid4().hex[:12]}"
    world.store(machine_type)
    first, second = f"{machine_type}/1", f"{machine_type}/2"

    world.drift(machine_type, first)
    until(lambda: len(world.triggers(machine_type)) == 1, "the first event to be decided")
    [started] = world.triggers(machine_type)
    [job] = world.jobs(machine_type)
    assert (started["job_id"], started["suppressed"]) == (job["job_id"], None)
    assert (job["trigger"], job["requested_by"]) == ("drift", "trainer")
    assert job["trigger_detail"].startswith("drift from version 1: sensor flow 0.5")
    until(lambda: world.jobs(machine_type)[0]["state"] == "succeeded", "the training")
    production = world.registry.production(model_name(machine_type))
    assert production is not None
    assert (production.version, production.tags["trigger"]) == ("1", "drift")

    # The same again, and another.
    world.drift(machine_type, first)
    world.drift(machine_type, second)
    until(lambda: len(world.triggers(machine_type)) == 2, "the second event to be decided")
    assert [one["suppressed"] for one in world.triggers(machine_type)] == [None, "cooldown"]
    assert len(world.jobs(machine_type)) == 1
