"""Drift on the real Kafka, PostgreSQL and MLflow: from a shifted sensor to the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest

from faultline import drift, topics
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.detector.reference import make_reference
from faultline.drift import DriftEvent, DriftKind
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition, Producer
from faultline.ports.registry import ModelRegistry, TrainingRun
from faultline.readings import encode_batch, make_reading

if TYPE_CHECKING:
    from tests.integration.conftest import Services, Until

pytestmark = pytest.mark.real

_BATCH = 50


class World:
    """A machine type with a version in Production, and the services that watch it."""

    def __init__(
        self, database: PostgresDatabase, broker: KafkaBroker, registry: ModelRegistry, folder: Path
    ) -> None:
        self.kind = f"it-{uuid4().hex[:12]}"
        self.database = database
        self._broker = broker
        self._registry = registry
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
        run_id = self._registry.log_run(TrainingRun(name, "test", {}, [], {}, artifacts))
        version = self._registry.register(name, run_id, {"bundle_sha256": bundle_sum}, "A test's.")
        self._registry.promote(name, version.version)
        return version.version

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
def world(
    platform: Endpoints, broker: KafkaBroker, registry: ModelRegistry, tmp_path: Path
) -> Iterator[World]:
    database = PostgresDatabase(platform.database_url)
    yield World(database, broker, registry, tmp_path)
    database.dispose()


def test_a_shifted_sensor_is_told_once_and_kept(
    world: World, services: Services, until: Until
) -> None:
    version = world.register()
    often = {"FAULTLINE_PREDICTOR_DRIFT_POLL_S": "0.5"}
    with services.running("recorder", {}), services.running("predictor", often) as predictor:

        def looked() -> dict[str, Any]:
            answer = predictor.http.get("/api/v1/model/drift", params={"machine_type": world.kind})
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
        [shown] = predictor.http.get(
            "/api/v1/model/drift/events", params={"machine_type": world.kind}
        ).json()["events"]
        assert shown["event_id"] == event.event_id
