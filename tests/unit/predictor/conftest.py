"""Small detectors, registered as the trainer would, a clock that stands still, and the service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from faultline import alarms as alarm_codec
from faultline import topics, verdicts
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.adapters.memory.feed import MemoryFeed
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.detector.reference import make_reference
from faultline.events import model_name
from faultline.ports.broker import Partition
from faultline.ports.clock import Clock
from faultline.ports.registry import ModelRegistry, ModelVersion, TrainingRun
from faultline.ports.stores import OffsetRange, RecordBatch
from faultline.readings import Reading, decode, encode_batch
from services.predictor.assembly import Predictor, assemble
from services.predictor.ports import Ports
from services.predictor.settings import PredictorSettings
from services.predictor.stream import GROUP

SENSORS = ("flow", "heat")
_DEADLINE_S = 20.0

MakeDetector = Callable[..., Detector]
Register = Callable[..., ModelVersion]


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ms(self) -> int:
        return 1_800_000_000_000 + int(self.seconds * 1_000)

    def monotonic_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def small_detector(boundary: float = 2.0, window_rows: int = 3) -> Detector:
    return Detector(
        sensors=SENSORS,
        window_rows=window_rows,
        max_gap_ms=60_000,
        centre=np.zeros(2),
        scale=np.ones(2),
        spread=np.ones(2),
        clusters=np.array([[0.0, 0.0], [4.0, 4.0]]),
        boundary=boundary,
        unknown_score=2.0,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def make_detector() -> MakeDetector:
    return small_detector


@pytest.fixture
def registry(clock: FakeClock) -> MemoryRegistry:
    return MemoryRegistry(clock)


@pytest.fixture
def register(registry: MemoryRegistry, tmp_path: Path) -> Register:
    """Registers a version and, unless told otherwise, promotes it."""

    def run(
        detector: Detector | None = None,
        machine_type: str = "pump",
        *,
        promote: bool = True,
        bundle_type: str | None = None,
        damage: Callable[[Path], None] | None = None,
        bundle_sum: str | None = None,
        history_rows: int = 20,
        into: ModelRegistry = registry,
    ) -> ModelVersion:
        """`bundle_type` and `bundle_sum` differ from the truth in tests of what is refused."""
        used = detector or small_detector()
        name = model_name(machine_type)
        artifacts = tmp_path / "artifacts" / f"{name}-{used.boundary}-{bundle_type}"
        rows = np.random.default_rng(0).normal(size=(history_rows, 2))
        history = MachineHistory("pump-1", 1_000 * np.arange(history_rows, dtype=np.int64), rows)
        written = write_bundle(
            artifacts / "model",
            used,
            golden_batch(used, history),
            model_name=name,
            machine_type=bundle_type or machine_type,
            created_ms=0,
            reference=make_reference(used, used.sensors, [history]),
        )
        if damage is not None:
            damage(artifacts / "model")
        run_id = into.log_run(
            TrainingRun(
                experiment=name,
                name="training",
                params={},
                metrics=[],
                tags={},
                artifacts=artifacts,
            )
        )
        version = into.register(name, run_id, {"bundle_sha256": bundle_sum or written}, "A pump.")
        if promote:
            into.promote(name, version.version)
        return into.version(name, version.version)

    return run


class World:
    """Everything behind the ports, and the predictor on it."""

    def __init__(self, registry: MemoryRegistry, clock: Clock, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.database = MemoryDatabase()
        self.database_trouble: str | None = None
        self.settings = PredictorSettings(
            state_dir=folder, predictor_request_bytes=20_000, predictor_checkpoint_s=0.0
        )
        self.predictor: Predictor = assemble(
            self.settings,
            Ports(
                broker=self.broker,
                registry=registry,
                store=self.database.fleet_store(),
                comparisons=self.database.comparison_store(),
                drift=self.database.drift_log(),
                database=lambda: self.database_trouble,
                clock=clock,
            ),
            MemoryFeed(self.broker),
        )
        self.http = TestClient(self.predictor.app)

    @contextmanager
    def streaming(self, readings: Sequence[Reading]) -> Iterator[None]:
        """Send readings through the topic; the stream has judged them all, and goes on."""
        producer = self.broker.producer()
        for start in range(0, len(readings), 7):
            part = readings[start : start + 7]
            producer.send(topics.READINGS.name, part[0].machine_id.encode(), encode_batch(part))
        producer.flush(1.0)
        partitions = self.broker.partitions(topics.READINGS.name)
        ends = {each: self.broker.end(each) for each in partitions if self.broker.end(each)}
        stop = threading.Event()
        thread = threading.Thread(target=self.predictor.stream.run, args=(stop,))
        thread.start()
        try:
            deadline_s = time.monotonic() + _DEADLINE_S
            while self.broker.committed(GROUP) != ends:
                assert time.monotonic() < deadline_s, "the stream does not get to the end"
                stop.wait(0.01)
            yield
        finally:
            stop.set()
            thread.join(_DEADLINE_S)

    def stream(self, readings: Sequence[Reading]) -> None:
        """Send readings through the topic, and let the stream judge them and stop."""
        with self.streaming(readings):
            pass

    def store(self) -> None:
        """Do what the recorder does with verdicts, alarms and readings."""
        batches = [verdicts.decode(m.value) for m in self.broker.sent(topics.VERDICTS.name)]
        events = [alarm_codec.decode(m.value) for m in self.broker.sent(topics.ALARMS.name)]
        readings = [
            reading
            for message in self.broker.sent(topics.READINGS.name)
            for reading in decode(message.value).readings
        ]
        batch = RecordBatch(
            offsets={Partition("all", 0): OffsetRange(0, 1)},
            readings=readings,
            verdicts=batches,
            alarm_events=events,
        )
        self.database.record_store().record("recorder", batch, lambda _: None)


@pytest.fixture
def world(registry: MemoryRegistry, clock: Clock, tmp_path: Path) -> Iterator[World]:
    world = World(registry, clock, tmp_path / "state")
    with world.http:
        yield world
