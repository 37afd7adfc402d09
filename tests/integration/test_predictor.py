"""The predictor's process on the real Kafka, PostgreSQL and MLflow.

Each test has a machine type of its own. What the stream said is read from its topics.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from faultline import alarms as alarm_codec
from faultline import events, topics, verdicts
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.alarms import AlarmEvent, AlarmEventKind
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.events import ModelEvent, ModelEventKind, model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Message, Partition, Producer
from faultline.ports.registry import ModelRegistry, TrainingRun
from faultline.readings import Reading, encode_batch, make_reading
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict
from services.predictor.contest import share_of

pytestmark = pytest.mark.real

_PATIENCE_S = 90.0
_LOOK_EVERY_S = 0.1
_PROMOTIONS = 20


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


@dataclass
class Running:
    """A service's process."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def ready(self) -> bool:
        assert self.process.poll() is None, "the service ended by itself"
        try:
            return self.http.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def comparison(self, machine_type: str) -> dict[str, Any]:
        answer = self.http.get("/api/v1/model/comparison", params={"machine_type": machine_type})
        [one] = answer.json()["comparisons"] if answer.is_success else [{}]
        return dict(one)

    def version(self, machine_type: str) -> str | None:
        answer = self.http.get("/api/v1/model", params={"machine_type": machine_type})
        return answer.json()["models"][0]["version"] if answer.is_success else None

    def judges_by(self, machine_type: str, version: str) -> bool:
        return self.version(machine_type) == version

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@dataclass
class Said:
    """What the topics hold of one machine, in the order of its partition.

    Attributes
    ----------
    published_ms
        When each verdict was, milliseconds since the epoch.
    """

    verdicts: list[tuple[str | None, Verdict]]
    alarms: list[AlarmEvent]
    published_ms: list[int]

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
        self.database = PostgresDatabase(platform.database_url)
        self._platform = platform
        self._folder = folder
        self._producer: Producer = broker.producer()

    @contextmanager
    def predictor(self, **settings: str) -> Iterator[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        with self._service(["services.predictor"], "PREDICTOR", settings) as running:
            yield running

    @contextmanager
    def recorder(self) -> Iterator[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        with self._service(["services.ingest", "recorder"], "RECORDER", {}) as running:
            yield running

    @contextmanager
    def _service(
        self, module: Sequence[str], name: str, settings: Mapping[str, str]
    ) -> Iterator[Running]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": self._platform.kafka,
            "FAULTLINE_DATABASE_URL": self._platform.database_url,
            "MLFLOW_TRACKING_URI": self._platform.mlflow,
            "FAULTLINE_STATE_DIR": str(self._folder / "state"),
            f"FAULTLINE_{name}_PORT": str(port),
            "FAULTLINE_PREDICTOR_MODEL_POLL_S": "0.5",
            "FAULTLINE_PREDICTOR_COMPARISON_S": "0.5",
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        with ExitStack() as open_:
            log = open_.enter_context((self._folder / f"{name.lower()}.log").open("ab"))
            process = subprocess.Popen([sys.executable, "-m", *module], env=environment, stderr=log)
            open_.callback(process.wait, 30)
            open_.callback(process.kill)
            http = open_.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)
            )
            running = Running(process, http)
            until(running.ready, f"a {name.lower()} that is ready")
            yield running

    def register(
        self, boundary: float, *, promote: bool = True, gate: str = "passed", window_rows: int = 3
    ) -> str:
        """Register a version as the trainer would, and promote it; returns its number."""
        detector = Detector(
            sensors=("flow", "heat"),
            window_rows=window_rows,
            max_gap_ms=60_000,
            centre=np.zeros(2),
            scale=np.ones(2),
            spread=np.ones(2),
            clusters=np.zeros((1, 2)),
            boundary=boundary,
            unknown_score=2.0,
        )
        artifacts = self._folder / f"artifacts-{boundary}"
        count = window_rows + 20
        rows = np.random.default_rng(0).normal(size=(count, 2))
        history = MachineHistory(self.machine, 1_000 * np.arange(count, dtype=np.int64), rows)
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
            self.name, run_id, {"bundle_sha256": bundle_sum, "gate": gate}, "A test's."
        ).version
        if promote:
            self.registry.promote(self.name, version)
        return version

    def send(self, seconds: Sequence[int], value: float = 0.1, machine: str | None = None) -> None:
        """Send a reading per second, in batches of five."""
        key = machine or self.machine
        readings = [self.reading(second, value, key) for second in seconds]
        for start in range(0, len(readings), 5):
            self._producer.send(
                topics.READINGS.name,
                key.encode(),
                encode_batch(readings[start : start + 5]),
            )
        self._producer.flush(10.0)

    def announce(self, version: str) -> None:
        """Say that a version was promoted, as the trainer would."""
        event = ModelEvent(
            event_id=str(uuid4()),
            kind=ModelEventKind.PROMOTED,
            model_name=self.name,
            model_version=version,
            at_ms=0,
            actor="test",
        )
        self._producer.send(topics.MODEL_EVENTS.name, self.name.encode(), events.encode(event))
        self._producer.flush(10.0)

    def stored(self) -> int:
        """How many of the machine's readings the recorder has stored."""
        return len(self.database.fleet_store().readings(self.machine).timestamps_ms)

    def reading(self, second: int, value: float = 0.1, machine: str | None = None) -> Reading:
        return make_reading(
            machine or self.machine, second * 1_000, {"flow": value, "heat": -value}, self.kind
        )

    def said(self, machine: str | None = None) -> Said:
        """What was said of the machine so far."""
        key = machine or self.machine
        given: list[tuple[str | None, Verdict]] = []
        published_ms: list[int] = []
        for message in self._messages(topics.VERDICTS, key):
            batch = verdicts.decode(message.value)
            given += [(batch.model_version, verdict) for verdict in batch.verdicts]
            published_ms += [message.timestamp_ms] * len(batch.verdicts)
        alarms = [alarm_codec.decode(one.value) for one in self._messages(topics.ALARMS, key)]
        return Said(given, alarms, published_ms)

    def _messages(self, topic: Topic, key: str) -> Iterator[Message]:
        for number in range(topic.partitions):
            for message in self.broker.read(Partition(topic.name, number)):
                if message.key == key.encode():
                    yield message

    def wait_for(self, seconds: Sequence[int], machine: str | None = None) -> Said:
        """Wait until each of these readings has a verdict."""
        wanted = {second * 1_000 for second in seconds}
        until(
            lambda: wanted <= set(self.said(machine).first()), f"verdicts on {len(wanted)} readings"
        )
        return self.said(machine)


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


class Load:
    """Sends a reading and asks for predictions again and again, and keeps what it saw.

    Attributes
    ----------
    answers
        Of each answer: the latest version that had been promoted before it came, and the scores,
        each with the version that it names.
    oldest
        By second of a reading: the version that was answering already when it was sent.
    """

    def __init__(self, world: World, predictor: Running) -> None:
        self.answers: list[tuple[int, list[tuple[int, float]]]] = []
        self.oldest: list[int] = []
        self.promoted = 0
        self.errors: list[BaseException] = []
        self._world = world
        self._predictor = predictor
        self._body = encode_batch([world.reading(second, machine="new") for second in range(10)])

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_PATIENCE_S)

    def answering(self) -> int:
        """The version of the last answer."""
        return self.answers[-1][1][0][0] if self.answers else 0

    def is_answering(self, version: int) -> bool:
        return self.answering() == version

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                oldest = self.answering()
                self._world.send([len(self.oldest)])
                self.oldest.append(oldest)
                answer = self._predictor.http.post("/api/v1/predict", content=self._body)
                assert answer.status_code == 200, answer.text
                scored = [
                    (int(one["model_version"]), one["score"])
                    for one in answer.json()["predictions"]
                    if one["score"] is not None
                ]
                self.answers.append((self.promoted, scored))
        except BaseException as error:
            self.errors.append(error)
            raise


def test_promotions_under_load_leave_no_error_no_gap_and_no_mixture(world: World) -> None:
    """As with a hundred in memory, in `tests/unit/predictor`; here with the real Kafka and MLflow.

    A version is known by its boundary, so what mixes two, or names another, shows.
    """
    boundaries = {number: 2.0 + number / 100 for number in range(1, _PROMOTIONS + 1)}
    for boundary in boundaries.values():
        world.register(boundary, promote=False)
    began_ms: dict[int, int] = {}

    def promote(version: int) -> None:
        began_ms[version] = time.time_ns() // 1_000_000
        load.promoted = version
        world.registry.promote(world.name, str(version))
        world.announce(str(version))

    with world.predictor() as predictor:
        load = Load(world, predictor)
        promote(1)
        until(partial(predictor.judges_by, world.kind, "1"), "the first version")
        with load.running():
            for version in boundaries:
                if version > 1:
                    promote(version)
                until(partial(load.is_answering, version), f"version {version}")
        assert load.errors == []
        said = world.wait_for(range(len(load.oldest)))

    distance = float(np.hypot(0.1, 0.1))
    order = []
    for promoted, scored in load.answers:
        [version] = {version for version, _ in scored}
        assert version <= promoted
        assert [score for _, score in scored] == pytest.approx([distance / boundaries[version]] * 8)
        order.append(version)
    assert order == sorted(order)
    assert set(order) == set(boundaries)

    assert [verdict.timestamp_ms for _, verdict in said.verdicts] == [
        1_000 * second for second in range(len(load.oldest))
    ]
    streamed = [int(version or 0) for version, _ in said.verdicts]
    assert streamed == sorted(streamed)
    for version, oldest, at_ms, (_, verdict) in zip(
        streamed, load.oldest, said.published_ms, said.verdicts, strict=True
    ):
        # Live when the verdict was given: promoted before it, and no other had taken over.
        assert oldest <= version
        assert began_ms[version] <= at_ms
        if verdict.timestamp_ms >= 2_000:
            assert verdict.score == pytest.approx(distance / boundaries[version])


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


def test_a_challenger_in_the_shadow_is_compared_and_carries_on_when_it_is_promoted(
    world: World,
) -> None:
    champion = world.register(boundary=20.0)
    challenger = world.register(boundary=2.0, promote=False)
    with world.recorder(), world.predictor() as predictor:
        until(
            lambda: predictor.comparison(world.kind).get("challenger_version") == challenger,
            "the challenger",
        )
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for(range(20))

        def compared() -> Any:
            return predictor.comparison(world.kind).get("current")

        until(lambda: (compared() or {}).get("readings") == 18, "18 readings to be compared")
        current = compared()
        world.registry.promote(world.name, challenger)
        until(lambda: predictor.version(world.kind) == challenger, "the promoted version")
        world.send(range(20, 25), value=9.0)
        said = world.wait_for(range(25))
        until(
            lambda: predictor.comparison(world.kind)["challenger_version"] is None,
            "no challenger any more",
        )
        former = predictor.comparison(world.kind)["former"]
    assert [version for version, _ in said.verdicts] == [champion] * 20 + [challenger] * 5
    assert [verdict.status for _, verdict in said.verdicts[20:]] == [Status.FAILURE] * 5
    assert (current["champion"]["failures"], current["challenger"]["failures"]) == (0, 10)
    assert (current["champion"]["alarms"], current["challenger"]["alarms"]) == (0, 1)
    assert current["agreement"] == pytest.approx(8 / 18)
    assert [one["readings"] for one in former] == [18]


def test_a_share_of_the_machines_is_answered_by_the_challenger_and_says_so(world: World) -> None:
    versions = {False: world.register(boundary=20.0)}
    versions[True] = world.register(boundary=2.0, promote=False)
    machines = [f"{world.kind}/{number}" for number in range(8)]
    expected = {machine: versions[share_of(machine) < 0.5] for machine in machines}
    with world.predictor(FAULTLINE_PREDICTOR_AB_SHARE="0.5") as predictor:
        until(
            lambda: (
                predictor.comparison(world.kind).get("answering_share") == 0.5
                and predictor.comparison(world.kind)["champion_version"] == versions[False]
            ),
            "both versions",
        )
        for machine in machines:
            world.send(range(5), machine=machine)
        given = {
            machine: {version for version, _ in world.wait_for(range(5), machine).verdicts}
            for machine in machines
        }
        body = encode_batch([world.reading(5, machine=machine) for machine in machines])
        answer = predictor.http.post("/api/v1/predict", content=body).json()
    assert given == {machine: {version} for machine, version in expected.items()}
    assert [one["model_version"] for one in answer["predictions"]] == list(expected.values())


def test_a_challenger_that_the_gate_refused_answers_nobody(world: World) -> None:
    champion = world.register(boundary=20.0)
    refused = world.register(boundary=2.0, promote=False, gate="refused")
    with world.predictor(FAULTLINE_PREDICTOR_AB_SHARE="1") as predictor:
        until(
            lambda: predictor.comparison(world.kind).get("challenger_version") == refused,
            "the challenger",
        )
        until(lambda: predictor.version(world.kind) == champion, "the champion")
        world.send(range(5))
        said = world.wait_for(range(5))
        assert predictor.comparison(world.kind)["answering_share"] == 0.0
    assert {version for version, _ in said.verdicts} == {champion}


def test_every_replica_hears_of_a_promotion(world: World, tmp_path: Path) -> None:
    """By `model.events` alone: the aliases are looked at once an hour."""
    hourly = {"FAULTLINE_PREDICTOR_MODEL_POLL_S": "3600"}
    first = world.register(boundary=2.0)
    # A shelf of bundles is one process's own.
    apart = {**hourly, "FAULTLINE_STATE_DIR": str(tmp_path / "other")}
    with world.predictor(**hourly) as one, world.predictor(**apart) as other:
        for predictor in (one, other):
            until(partial(predictor.judges_by, world.kind, first), "the first version")
        second = world.register(boundary=3.0)
        world.announce(second)
        for predictor in (one, other):
            until(partial(predictor.judges_by, world.kind, second), "the second version")


def test_a_version_with_a_longer_window_goes_on_from_stored_rows(world: World) -> None:
    """The first one's window is short, and so are the rows that are kept of the machine."""
    world.register(boundary=2.0)
    with world.recorder(), world.predictor() as predictor:
        world.send(range(250))
        world.wait_for(range(250))
        until(lambda: world.stored() == 250, "250 stored readings")
        longer = world.register(boundary=3.0, window_rows=200)
        until(partial(predictor.judges_by, world.kind, longer), "the version with a longer window")
        world.send(range(250, 255))
        world.wait_for(range(250, 255))
        filled = 'faultline_predictor_warm_ups_total{outcome="filled"} 1.0'
        until(lambda: filled in predictor.http.get("/metrics").text, "a window that is filled")
        world.send(range(255, 260))
        said = world.wait_for(range(260))
    statuses = [verdict.status for _, verdict in said.verdicts]
    assert statuses[250] is Status.WARMING_UP
    assert statuses[255:] == [Status.NORMAL] * 5
