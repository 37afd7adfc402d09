"""A trainer on ports in memory, with a history to learn from and ports that fail when told to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.bundle import Bundle, read_bundle
from faultline.events import ModelEvent
from faultline.events import decode as decode_event
from faultline.ports.broker import Partition
from faultline.ports.jobs import TrainingJob, TrainingRequest
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading
from faultline.topics import MODEL_EVENTS
from services.trainer.assembly import Ports, Trainer, assemble
from services.trainer.settings import TrainerSettings

START_MS = 1_795_000_000_000
STEP_MS = 1_000
LEASE_S = 60.0


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.ms = START_MS + 10_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Flaky:
    """A port that works, but raises before or after a call when that was planned.

    `flaky.before["promote"].append(error)` raises once before the next call of `promote`, `after`
    once it was done: its answer was lost on the way.
    """

    def __init__(self, port: Any) -> None:
        self.port = port
        self.before: dict[str, deque[BaseException]] = {}
        self.after: dict[str, deque[BaseException]] = {}
        self.calls: list[str] = []

    def plan(self, name: str, *errors: BaseException, after: bool = False) -> None:
        (self.after if after else self.before).setdefault(name, deque()).extend(errors)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.before.get(name):
                raise self.before[name].popleft()
            answer = method(*args, **kwargs)
            if self.after.get(name):
                raise self.after[name].popleft()
            return answer

        return call


class FlakyBroker(MemoryBroker):
    """A broker whose producers raise when that was planned."""

    def __init__(self) -> None:
        super().__init__()
        self.flaky: Flaky | None = None

    def producer(self) -> Any:
        self.flaky = Flaky(super().producer())
        return self.flaky


class World:
    """A trainer and all that is around it."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.database = MemoryDatabase(self.clock)
        self.broker = FlakyBroker()
        self.broker.create_topics([MODEL_EVENTS])
        self.registry = Flaky(MemoryRegistry(self.clock))
        self.store = Flaky(self.database.fleet_store())
        self.queue = Flaky(self.database.job_queue())
        self.log = Flaky(self.database.promotion_log())
        self.gate_log = Flaky(self.database.gate_log())
        self.trigger_log = Flaky(self.database.trigger_log())
        self.stream_trouble: str | None = None
        self.settings = settings
        self.trainer = self.start()
        self.http = TestClient(self.trainer.app)

    def start(self) -> Trainer:
        """Start a trainer; another one, when there is one already."""
        return assemble(
            TrainerSettings(
                **{
                    "trainer_lease_s": LEASE_S,
                    "trainer_git_commit": "c" * 40,
                    "trainer_niceness": 0,
                    "trainer_retry_s": 0.01,
                    # Another fit for every training, and the same every time.
                    "trainer_evaluate_faults": False,
                    **self.settings,
                }
            ),
            Ports(
                broker=self.broker,
                registry=self.registry,
                store=self.store,
                queue=self.queue,
                promotion_log=self.log,
                gate_log=self.gate_log,
                comparisons=self.database.comparison_store(),
                trigger_log=self.trigger_log,
                retention=self.database.retention_store(),
                clock=self.clock,
                database=lambda: None,
                tracking=lambda: None,
                stream=lambda: self.stream_trouble,
            ),
            # Half of a training's time, and the same every time.
            draw=lambda folder, *_: (folder / "drawn.png").touch(),
        )

    def store_rows(
        self,
        values: np.ndarray,
        machine_id: str = "pump-1",
        sensors: tuple[str, ...] = ("flow", "heat", "load"),
        start_ms: int = START_MS,
        machine_type: str = "pump",
    ) -> None:
        readings = [
            Reading(
                machine_id=machine_id,
                machine_type=machine_type,
                timestamp_ms=start_ms + STEP_MS * row,
                sensors={
                    name: None if np.isnan(value) else value
                    for name, value in zip(sensors, line, strict=True)
                },
            )
            for row, line in enumerate(values.tolist())
        ]
        self.database.record_store().record(
            "test", RecordBatch(offsets={}, readings=readings), lambda _: None
        )

    def store_history(self, machines: int = 2, rows: int = 300) -> None:
        for number in range(1, machines + 1):
            self.store_rows(ordinary(rows, seed=number), f"pump-{number}")

    def submit(self, **request: Any) -> TrainingJob:
        return self.queue.submit(
            TrainingRequest(
                **{
                    "machine_type": "pump",
                    "hyperparameters": {"k_max": 3},
                    # Most tests want another version, of whatever.
                    "repeat": True,
                    **request,
                }
            )
        )

    def work(self, trainer: Trainer | None = None) -> bool:
        return (trainer or self.trainer).worker.step(threading.Event())

    def train(self, **request: Any) -> TrainingJob:
        """Submit a job, do it and return it as it stands afterwards."""
        job = self.submit(**request)
        assert self.work()
        return self.queue.get(job.job_id)

    def work_until_done(self, job: TrainingJob) -> TrainingJob:
        """Let fresh trainers take the job over until it is done."""
        for _ in range(10):
            self.clock.sleep(LEASE_S + 1)
            if not self.work(self.start()):
                break
        return self.queue.get(job.job_id)

    def events(self) -> list[ModelEvent]:
        return [
            decode_event(message.value)
            for number in range(MODEL_EVENTS.partitions)
            for message in self.broker.read(Partition(MODEL_EVENTS.name, number))
        ]

    def bundle(self, tmp_path: Path, version: str = "1") -> Bundle:
        return read_bundle(
            self.registry.download("faultline-pump", version, tmp_path / f"bundle-{version}")
        )

    @property
    def runs(self) -> dict[str, Any]:
        return dict(self.registry.port.runs)


def ordinary(rows: int, seed: int = 1) -> np.ndarray:
    """Rows of a machine with two operating regimes, which it changes irregularly."""
    random = np.random.default_rng(seed)
    changes = np.repeat(np.arange(rows) % 2, random.integers(15, 40, rows))
    regime = changes[:rows, None]
    return random.normal([10.0, 50.0, 3.0], [0.5, 1.0, 0.1], (rows, 3)) + regime * [4.0, 9.0, 1.0]


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    made = World()
    made.store_history()
    return made
