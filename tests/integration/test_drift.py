"""Drift on the real Kafka, PostgreSQL and MLflow: from a shifted sensor to the table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.detector.reference import make_reference
from faultline.drift import DriftEvent, DriftKind
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition, Producer
from faultline.ports.registry import TrainingRun
from faultline.readings import encode_batch, make_reading
from faultline.settings import KafkaSettings, RegistrySettings

pytestmark = pytest.mark.real

_PATIENCE_S = 90.0
_BATCH = 50


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(0.1)


class World:
    """A machine type with a version in Production, and the services that watch it."""

    def __init__(self, platform: Endpoints, broker: KafkaBroker, folder: Path) -> None:
        self.kind = f"it-{uuid4().hex[:12]}"
        self.database = PostgresDatabase(platform.database_url)
        self._broker = broker
        self._platform = platform
        self._folder = folder
        self._rng = np.random.default_rng(1)
        self._second = 0
        self._producer: Producer = broker.producer()

    def register(self) -> str:
        detector = Detector(
            sensors=("flow", "heat"),
            window_rows=3,
            max_gap_ms=60_000,
            centre=np.zeros(2),
            scale=np.ones(2),
            spread=np.ones(2),
            clusters=np.zeros((1, 2)),
            boundary=4.0,
            unknown_score=2.0,
        )
        times = 1_000 * np.arange(3_000, dtype=np.int64)
        history = MachineHistory("m", times, self._rng.normal(size=(3_000, 2)))
        name = model_name(self.kind)
        artifacts = self._folder / "artifacts"
        bundle_sum = write_bundle(
            artifacts / "model",
            detector,
            golden_batch(detector, history),
            model_name=name,
            machine_type=self.kind,
            created_ms=0,
            reference=make_reference(detector, detector.sensors, [history]),
        )
        registry = MlflowRegistry(
            RegistrySettings.model_validate({"MLFLOW_TRACKING_URI": self._platform.mlflow})
        )
        run_id = registry.log_run(TrainingRun(name, "test", {}, [], {}, artifacts))
        version = registry.register(name, run_id, {"bundle_sha256": bundle_sum}, "A test's.")
        registry.promote(name, version.version)
        return version.version

    @contextmanager
    def service(self, module: list[str], port_of: str, **settings: str) -> Iterator[httpx.Client]:
        """Start one and wait until it is ready; it is gone afterwards."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": self._platform.kafka,
            "FAULTLINE_DATABASE_URL": self._platform.database_url,
            "MLFLOW_TRACKING_URI": self._platform.mlflow,
            "FAULTLINE_STATE_DIR": str(self._folder / "state"),
            f"FAULTLINE_{port_of}_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        with ExitStack() as open_:
            log = open_.enter_context((self._folder / f"{port_of.lower()}.log").open("ab"))
            process = subprocess.Popen([sys.executable, "-m", *module], env=environment, stderr=log)
            open_.callback(process.wait, 30)
            open_.callback(process.kill)
            http = open_.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)
            )

            def ready() -> bool:
                assert process.poll() is None, "the service ended by itself"
                try:
                    return http.get("/health/ready").is_success
                except httpx.TransportError:
                    return False

            until(ready, f"a {port_of.lower()} that is ready")
            yield http

    def send(self, rows: int, shift: float) -> None:
        values = self._rng.normal(size=(rows, 2))
        values[:, 0] += shift
        readings = [
            make_reading(
                f"{self.kind}/1",
                (self._second + row) * 1_000,
                {"flow": flow, "heat": heat},
                self.kind,
            )
            for row, (flow, heat) in enumerate(values.tolist())
        ]
        self._second += rows
        for start in range(0, rows, _BATCH):
            part = encode_batch(readings[start : start + _BATCH])
            self._producer.send(topics.READINGS.name, self.kind.encode(), part)
        self._producer.flush(30.0)

    def told(self) -> list[DriftEvent]:
        messages = self._broker.read(Partition(topics.DRIFT_EVENTS.name, 0))
        return [drift.decode(one.value) for one in messages if one.key == self.kind.encode()]


@pytest.fixture
def world(platform: Endpoints, tmp_path: Path) -> Iterator[World]:
    migrate(platform.database_url)
    settings = KafkaSettings(kafka_bootstrap_servers=platform.kafka)
    broker = KafkaBroker(settings, client_id="test-drift")
    broker.create_topics(topics.ALL)
    world = World(platform, broker, tmp_path)
    yield world
    world.database.dispose()
    broker.close()


def test_a_shifted_sensor_is_told_once_and_kept(world: World) -> None:
    version = world.register()
    with (
        world.service(["services.ingest", "recorder"], "RECORDER"),
        world.service(
            ["services.predictor"], "PREDICTOR", FAULTLINE_PREDICTOR_DRIFT_POLL_S="0.5"
        ) as http,
    ):

        def looked() -> dict[str, Any]:
            answer = http.get("/api/v1/model/drift", params={"machine_type": world.kind})
            [one] = answer.json()["drift"] if answer.is_success else [{}]
            return dict(one)

        until(lambda: looked().get("version") == version, "the version")
        world.send(600, shift=0.0)
        until(lambda: looked()["readings"] >= 550, "a look at what has not changed")
        assert not looked()["drifting"]
        assert world.told() == []

        world.send(1_800, shift=1.5)
        until(lambda: looked()["readings"] >= 2_000, "a look at what has")
        log = world.database.drift_log()
        until(lambda: len(log.list(world.kind)) > 0, "the event in the table")
        [event] = log.list(world.kind)
        assert [event] == world.told()
        assert (event.model_name, event.model_version) == (model_name(world.kind), version)
        assert (DriftKind.SENSOR, "flow") in {(one.kind, one.name) for one in event.findings}
        assert "heat" not in {one.name for one in event.findings}
        [shown] = http.get(
            "/api/v1/model/drift/events", params={"machine_type": world.kind}
        ).json()["events"]
        assert shown["event_id"] == event.event_id
