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
from faultline.detector.reference import make_reference
from faultline.drift import DriftEvent, DriftKind
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition, Producer
from faultline.ports.registry import ModelRegistry
from faultline.readings import encode_batch, make_reading
from tests.integration.versions import SENSORS, detector_with, ordinary_history, write_version

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
        detector = detector_with(4.0)
        reference = make_reference(detector, SENSORS, [ordinary_history(3_000)])
        made = write_version(self._folder / "artifacts", self.kind, detector, reference)
        name = model_name(self.kind)
        run_id = self._registry.log_run(made.run)
        tags = {"bundle_sha256": made.bundle_sha256}
        version = self._registry.register(name, run_id, tags, "A test's.")
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
