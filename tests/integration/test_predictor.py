"""The predictor's process on the real Kafka, PostgreSQL and MLflow.

Each test has a machine type of its own. What the stream said is read from its topics.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest

from faultline import alarms as alarm_codec
from faultline import topics, verdicts
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres.migration import migrate
from faultline.alarms import AlarmEvent, AlarmEventKind
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition, Producer
from faultline.ports.registry import ModelRegistry, TrainingRun
from faultline.readings import Reading, encode_batch, make_reading
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict

pytestmark = pytest.mark.real

_PATIENCE_S = 90.0
_LOOK_EVERY_S = 0.1


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


@dataclass
class Running:
    """A predictor process."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def ready(self) -> bool:
        assert self.process.poll() is None, "the predictor ended by itself"
        try:
            return self.http.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def version(self, machine_type: str) -> str | None:
        answer = self.http.get("/api/v1/model", params={"machine_type": machine_type})
        return answer.json()["models"][0]["version"] if answer.is_success else None

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@dataclass
class Said:
    """What the topics hold of one machine, in the order of its partition."""

    verdicts: list[tuple[str | None, Verdict]]
    alarms: list[AlarmEvent]

    def first(self) -> dict[int, Verdict]:
        """What a store makes of it: the first verdict of each reading."""
        given: dict[int, Verdict] = {}
        for _, verdict in self.verdicts:
            given.setdefault(verdict.timestamp_ms, verdict)
        return given


class World:
    """The platform, a machine type and its machine, and predictors one after the other."""

    def __init__(
        self, platform: Endpoints, broker: KafkaBroker, registry: ModelRegistry, folder: Path
    ) -> None:
        self.kind = f"it-{uuid4().hex[:12]}"
        self.machine = f"{self.kind}/1"
        self.name = model_name(self.kind)
        self.registry = registry
        self.broker = broker
        self._platform = platform
        self._folder = folder
        self._producer: Producer = broker.producer()

    @contextmanager
    def predictor(self) -> Iterator[Running]:
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
            "FAULTLINE_PREDICTOR_PORT": str(port),
            "FAULTLINE_PREDICTOR_MODEL_POLL_S": "0.5",
            "OMP_NUM_THREADS": "1",
        }
        with ExitStack() as open_:
            log = open_.enter_context((self._folder / "predictor.log").open("ab"))
            process = subprocess.Popen(
                [sys.executable, "-m", "services.predictor"], env=environment, stderr=log
            )
            open_.callback(process.wait, 30)
            open_.callback(process.kill)
            http = open_.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)
            )
            running = Running(process, http)
            until(running.ready, "a predictor that is ready")
            yield running

    def register(self, boundary: float) -> str:
        """Register a version as the trainer would, and promote it; returns its number."""
        detector = Detector(
            sensors=("flow", "heat"),
            window_rows=3,
            max_gap_ms=60_000,
            centre=np.zeros(2),
            scale=np.ones(2),
            spread=np.ones(2),
            clusters=np.zeros((1, 2)),
            boundary=boundary,
            unknown_score=2.0,
        )
        artifacts = self._folder / f"artifacts-{boundary}"
        rows = np.random.default_rng(0).normal(size=(20, 2))
        history = MachineHistory(self.machine, 1_000 * np.arange(20, dtype=np.int64), rows)
        bundle_sum = write_bundle(
            artifacts / "model",
            detector,
            golden_batch(detector, history),
            model_name=self.name,
            machine_type=self.kind,
            created_ms=0,
        )
        run_id = self.registry.log_run(TrainingRun(self.name, "test", {}, [], {}, artifacts))
        version = self.registry.register(
            self.name, run_id, {"bundle_sha256": bundle_sum}, "A test's."
        ).version
        self.registry.promote(self.name, version)
        return version

    def send(self, seconds: Sequence[int], value: float = 0.1) -> None:
        """Send a reading per second, in batches of five."""
        readings = [self.reading(second, value) for second in seconds]
        for start in range(0, len(readings), 5):
            self._producer.send(
                topics.READINGS.name,
                self.machine.encode(),
                encode_batch(readings[start : start + 5]),
            )
        self._producer.flush(10.0)

    def reading(self, second: int, value: float = 0.1) -> Reading:
        return make_reading(
            self.machine, second * 1_000, {"flow": value, "heat": -value}, self.kind
        )

    def said(self) -> Said:
        """What was said of the machine so far."""
        given: list[tuple[str | None, Verdict]] = []
        for value in self._values(topics.VERDICTS, self.machine):
            batch = verdicts.decode(value)
            given += [(batch.model_version, verdict) for verdict in batch.verdicts]
        return Said(
            given,
            [alarm_codec.decode(value) for value in self._values(topics.ALARMS, self.machine)],
        )

    def _values(self, topic: Topic, key: str) -> Iterator[bytes]:
        for number in range(topic.partitions):
            for message in self.broker.read(Partition(topic.name, number)):
                if message.key == key.encode():
                    yield message.value

    def wait_for(self, seconds: Sequence[int]) -> Said:
        """Wait until each of these readings has a verdict."""
        wanted = {second * 1_000 for second in seconds}
        until(lambda: wanted <= set(self.said().first()), f"verdicts on {len(wanted)} readings")
        return self.said()


@pytest.fixture(scope="module")
def broker(platform: Endpoints) -> Iterator[KafkaBroker]:
    migrate(platform.database_url)
    broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=platform.kafka), "test")
    broker.create_topics(topics.ALL)
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def registry(platform: Endpoints) -> ModelRegistry:
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))


@pytest.fixture
def world(
    platform: Endpoints, broker: KafkaBroker, registry: ModelRegistry, tmp_path: Path
) -> World:
    return World(platform, broker, registry, tmp_path)


def test_a_version_promoted_meanwhile_takes_over_and_is_named(world: World) -> None:
    with world.predictor() as predictor:
        world.send(range(5))
        world.wait_for(range(5))
        first = world.register(boundary=2.0)
        until(lambda: predictor.version(world.kind) == first, "the first version")
        world.send(range(5, 10))
        world.wait_for(range(10))
        second = world.register(boundary=3.0)
        until(lambda: predictor.version(world.kind) == second, "the second version")
        world.send(range(10, 15))
        said = world.wait_for(range(15))
        assert predictor.end(signal.SIGTERM) == 0
    assert [version for version, _ in said.verdicts] == [None] * 5 + [first] * 5 + [second] * 5
    assert [verdict.status for _, verdict in said.verdicts] == (
        [Status.NO_MODEL] * 5 + [Status.NORMAL] * 10
    )


def test_a_restart_continues_the_window_and_the_alarm(world: World) -> None:
    world.register(boundary=2.0)
    with world.predictor() as predictor:
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for(range(20))
        assert predictor.end(signal.SIGTERM) == 0
    world.send(range(20, 40))
    with world.predictor():
        said = world.wait_for(range(40))
    times = [verdict.timestamp_ms for _, verdict in said.verdicts]
    assert times == [second * 1_000 for second in range(40)]
    warming_up = [v.timestamp_ms for _, v in said.verdicts if v.status is Status.WARMING_UP]
    assert warming_up == [0, 1_000]
    kinds = [event.kind for event in said.alarms]
    assert (kinds[0], kinds[-1]) == (AlarmEventKind.OPENED, AlarmEventKind.CLOSED)
    assert len({event.alarm.alarm_id for event in said.alarms}) == 1


def test_a_killed_predictor_leaves_nothing_out_and_says_nothing_else_the_second_time(
    world: World,
) -> None:
    world.register(boundary=2.0)
    with world.predictor() as predictor:
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for([0])
        predictor.end(signal.SIGKILL)
    world.send(range(20, 40))
    with world.predictor():
        said = world.wait_for(range(40))
    first = said.first()
    assert all(verdict == first[verdict.timestamp_ms] for _, verdict in said.verdicts)
    assert [at for at, verdict in first.items() if verdict.status is Status.WARMING_UP] == [
        0,
        1_000,
    ]
    by_id = {event.event_id: event for event in said.alarms}
    assert all(event == by_id[event.event_id] for event in said.alarms)
    assert len({event.alarm.alarm_id for event in said.alarms}) == 1
