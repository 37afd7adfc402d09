"""A watch for drift on a broker and a store in memory, and readings for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline import drift, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.detector import Detector, MachineHistory, Window
from faultline.detector.reference import make_reference
from faultline.drift import DriftEvent, DriftPart
from faultline.errors import Unavailable
from faultline.judge import Model
from faultline.ports.stores import RecordBatch
from faultline.readings import make_reading
from faultline.verdicts import Status, Verdict
from services.predictor.drift import DriftWatch
from services.predictor.drift_onset import DriftLimits, DriftPolicy
from services.predictor.drift_watched import Seen
from services.predictor.metrics import Metrics

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import MakeDetector

POLICY = DriftPolicy(
    window_s=1_000.0,
    rows=2_000,
    poll_s=60.0,
    cooldown_s=3_600.0,
    limits=DriftLimits(distance=0.3, level=0.25),
)


class Store:
    """A store of what is counted that can be switched off."""

    def __init__(self) -> None:
        database = MemoryDatabase()
        self._log = database.drift_log()
        self._record_store = database.record_store()
        self.down = threading.Event()
        self.asked_in_vain = threading.Event()

    def _check(self) -> None:
        if self.down.is_set():
            self.asked_in_vain.set()
            raise Unavailable("the database is switched off")

    def record(self, events: Sequence[DriftEvent]) -> None:
        """Store what was told, as the recorder does."""
        batch = RecordBatch({}, drift_events=events)
        self._record_store.record("recorder", batch, lambda _: None)

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        return self._log.list(machine_type, limit)

    def keep(self, part: DriftPart, oldest_ms: int) -> None:
        self._check()
        self._log.keep(part, oldest_ms)

    def parts(self, since_ms: int) -> Sequence[DriftPart]:
        self._check()
        return self._log.parts(since_ms)


class Setup:
    """A watch, a version with a reference, and readings that go on from where they were."""

    def __init__(self, detector: Detector, clock: Any, policy: DriftPolicy = POLICY) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.clock = clock
        self.metrics = Metrics()
        self.store = Store()
        self.models: dict[str, Model] = {}
        self.policy = policy
        self.watch = self.replica()
        self.detector = detector
        self.model = self.version("1")
        self._rng = np.random.default_rng(5)
        self._at_ms: dict[str, int] = {}

    def replica(self, models: Mapping[str, Model] | None = None) -> DriftWatch:
        """Another process, on the same broker and store; with other versions, when told so."""
        return DriftWatch(
            self.broker,
            self.policy,
            store=self.store,
            models=lambda: self.models if models is None else models,
            metrics=self.metrics,
            clock=self.clock,
        )

    def version(self, number: str) -> Model:
        values = np.random.default_rng(0).normal(size=(4_000, 2)) * 0.5
        times = np.arange(4_000, dtype=np.int64) * 1_000
        history = MachineHistory("a", times, values)
        reference = make_reference(self.detector, self.detector.sensors, [history])
        return Model("faultline-pump", number, self.detector, reference)

    def see(
        self,
        rows: int,
        *,
        shift: float = 0.0,
        machine: str = "a",
        status: Status = Status.NORMAL,
        machine_type: str = "pump",
        model: Model | None = None,
        watch: DriftWatch | None = None,
    ) -> None:
        values = self._rng.normal(size=(rows, 2)) * 0.5
        scores = self._scores(values)
        values[:, 0] += shift
        begin = self._at_ms.get(machine, 0)
        self._at_ms[machine] = begin + rows * 1_000
        times = [begin + row * 1_000 for row in range(rows)]
        scored = status not in {Status.LATE, Status.DUPLICATE}
        seen = Seen(
            machine,
            [
                make_reading(machine, at_ms, {"flow": flow, "heat": heat}, machine_type)
                for at_ms, (flow, heat) in zip(times, values.tolist(), strict=True)
            ],
            [
                Verdict(
                    timestamp_ms=at_ms,
                    status=status,
                    score=score if scored else None,
                    cluster=0 if scored else None,
                )
                for at_ms, score in zip(times, scores.tolist(), strict=True)
            ],
            model or self.model,
        )
        self.models[machine_type] = seen.model
        (watch or self.watch).offer([seen])

    def _scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of unshifted rows: what drifts is what the test says, and not the scores as well."""
        empty = Window.empty(self.detector.sensors)
        times = np.arange(len(values), dtype=np.int64) * 1_000
        scores, _ = self.detector.score(empty, times, values)
        return np.where(np.isnan(scores.score), np.nanmedian(scores.score), scores.score)

    def all_look(self, *replicas: DriftWatch) -> None:
        """Let each keep its counts, and judge."""
        self.clock.seconds += 60.0
        for _ in range(2):
            for replica in replicas:
                replica.sample()
                replica.look()
                replica.tell()

    def look(self, after_s: float = 60.0) -> None:
        self.clock.seconds += after_s
        self.watch.sample()
        self.watch.look()
        self.watch.tell()

    def told(self) -> list[DriftEvent]:
        sent = self.broker.sent(topics.DRIFT_EVENTS.name)
        assert {message.key for message in sent} <= {b"pump", b"valve"}
        return [drift.decode(message.value) for message in sent]

    def value(self, name: str, **labels: str) -> float | None:
        found: float | None = self.metrics.registry.get_sample_value(name, labels)
        return found


MakeSetup = Callable[[Detector], Setup]


@pytest.fixture
def make_setup(clock: Any) -> MakeSetup:
    return lambda detector: Setup(detector, clock)


@pytest.fixture
def setup(make_detector: MakeDetector, make_setup: MakeSetup) -> Setup:
    return make_setup(make_detector())
