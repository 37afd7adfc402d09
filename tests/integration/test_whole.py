"""All of Faultline on the real Kafka, PostgreSQL and MLflow, seen from outside.

Each test has a machine type of its own, so that none depends on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from faultline import events, topics
from faultline.adapters.clock import SystemClock
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import Alarm, AlarmEventKind
from faultline.alarms import decode as decode_alarm
from faultline.client import Job, PredictorClient, TrainerClient
from faultline.demo.waiting import wait_until
from faultline.local.home import Endpoints, External
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.ports.broker import Partition, Producer
from faultline.ports.registry import ModelRegistry, Stage, TrainingRun
from faultline.ports.stores import FleetStore, MachineSummary
from faultline.readings import Reading
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.sources.faults import FaultKind
from faultline.sources.http import HttpSink
from faultline.sources.plant import Plant
from faultline.sources.topic import TopicSink
from faultline.verdicts import Status

pytestmark = pytest.mark.real

_START_MS = 1_767_225_600_000
_HISTORY_ROWS = 900
_CLOCK = SystemClock()


@dataclass(frozen=True)
class Whole:
    """The running system, and the ways to look at it."""

    stack: Stack
    store: FleetStore
    broker: KafkaBroker
    producer: Producer
    registry: ModelRegistry
    http: HttpSink
    trainer: TrainerClient
    predictor: PredictorClient

    @property
    def endpoints(self) -> Endpoints:
        return self.stack.endpoints

    def by_both_ways(self, readings: Sequence[Reading]) -> None:
        """Send the machines with an even number over HTTP, the others to the topic."""
        even = [reading for reading in readings if int(reading.machine_id[-2:]) % 2 == 0]
        odd = [reading for reading in readings if int(reading.machine_id[-2:]) % 2 == 1]
        topic = TopicSink(self.producer)
        self.http.send(even)
        topic.send(odd)
        self.http.flush()
        topic.flush()

    def machines(self, machine_type: str) -> Sequence[MachineSummary]:
        return self.store.machines(machine_type)

    def judged(self, machine_type: str) -> int:
        return sum(
            sum(self.store.verdict_counts(machine.machine_id).by_status.values())
            for machine in self.machines(machine_type)
        )

    def stored(self, machine_type: str) -> int:
        return sum(machine.readings for machine in self.machines(machine_type))

    def wait_for(self, machine_type: str, readings: int) -> None:
        until(
            lambda: self.stored(machine_type) >= readings and self.judged(machine_type) >= readings,
            f"{readings} readings of {machine_type} stored and judged",
            lambda: (self.stored(machine_type), self.judged(machine_type)),
        )

    def train(self, machine_type: str) -> Job:
        return self.trainer.wait(self.trainer.train(machine_type).job_id, timeout_s=300)

    def wait_for_version(self, machine_type: str, version: str) -> None:
        until(
            lambda: self.predictor.live_version(machine_type) == version,
            f"version {version} of {machine_type} in the predictor",
        )


def until(
    done: Callable[[], bool], what: str, progress: Callable[[], object] = lambda: None
) -> None:
    wait_until(done, what, _CLOCK, progress=progress, patience_s=180)


@pytest.fixture(scope="module")
def whole(platform_stack: Stack, module_home: Path) -> Iterator[Whole]:
    """Services of their own on the module's Kafka and PostgreSQL."""
    given = platform_stack.endpoints
    with ExitStack() as open_:
        external = External(kafka=given.kafka, postgres=given.database_url, mlflow=given.mlflow)
        stack = open_.enter_context(Stack(module_home, Ports.free(), external=external))
        from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

        broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=given.kafka), "test")
        open_.callback(broker.close)
        database = PostgresDatabase(given.database_url)
        open_.callback(database.dispose)
        yield Whole(
            stack,
            database.fleet_store(),
            broker,
            broker.producer(),
            MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=given.mlflow)),
            open_.enter_context(HttpSink(stack.endpoints.gateway)),
            open_.enter_context(TrainerClient(stack.endpoints.trainer)),
            open_.enter_context(PredictorClient(stack.endpoints.predictor)),
        )


@pytest.fixture
def plant() -> Plant:
    return Plant(machines=4, seed=7, machine_type=f"t{uuid4().hex[:10]}", period_rows=30)


def _rows(plant: Plant, first: int, rows: int) -> list[Reading]:
    step = plant.interval_ms
    return list(plant.readings(_START_MS + first * step, _START_MS + (first + rows) * step))


def _model_events(whole: Whole, name: str) -> list[events.ModelEventKind]:
    messages = whole.broker.read(Partition(topics.MODEL_EVENTS.name, 0))
    decoded = [events.decode(message.value) for message in messages]
    return [event.kind for event in decoded if event.model_name == name]


def test_readings_by_http_and_by_topic_are_judged_by_the_version_that_is_promoted_meanwhile(
    whole: Whole, plant: Plant
) -> None:
    kind = plant.machine_type
    name = events.model_name(kind)
    history = _rows(plant, 0, _HISTORY_ROWS)
    whole.by_both_ways(history)
    # Sent twice, stored and judged once.
    whole.by_both_ways(history[:200])
    whole.wait_for(kind, len(history))

    first = whole.train(kind)
    assert (first.error, first.promoted) == (None, True), first.decision
    whole.wait_for_version(kind, "1")
    after_first = _rows(plant, _HISTORY_ROWS, 100)
    whole.by_both_ways(after_first)
    whole.wait_for(kind, len(history) + len(after_first))

    second = whole.train(kind)
    assert (second.error, second.promoted) == (None, True), second.decision
    whole.wait_for_version(kind, "2")
    after_second = _rows(plant, _HISTORY_ROWS + 100, 100)
    whole.by_both_ways(after_second)
    sent = len(history) + len(after_first) + len(after_second)
    whole.wait_for(kind, sent)

    counts = [whole.store.verdict_counts(machine).by_version for machine in plant.machine_ids]
    assert counts == [{None: _HISTORY_ROWS, "1": 100, "2": 100}] * len(plant.machine_ids)
    assert whole.stored(kind) == sent
    assert whole.registry.version(name, "1").stage is Stage.ARCHIVED
    production = whole.registry.version(name, "2")
    assert (production.stage, production.aliases) == (Stage.PRODUCTION, {"production"})
    assert float(production.tags["silhouette"]) > 0
    assert _model_events(whole, name).count(events.ModelEventKind.PROMOTED) == 2


def test_a_failing_machine_is_named_with_its_sensor(whole: Whole, plant: Plant) -> None:
    kind = plant.machine_type
    history = _rows(plant, 0, _HISTORY_ROWS)
    whole.by_both_ways(history)
    whole.wait_for(kind, len(history))
    assert whole.train(kind).promoted
    whole.wait_for_version(kind, "1")

    failing = plant.machine_ids[1]
    start_ms = _START_MS + (_HISTORY_ROWS + 60) * plant.interval_ms
    fault = plant.fault(FaultKind.BEARING_WEAR, failing, start_ms, 240 * plant.interval_ms)
    live = _rows(plant.with_faults([fault]), _HISTORY_ROWS, 300)
    whole.by_both_ways(live)
    whole.wait_for(kind, len(history) + len(live))

    until(lambda: len(_alarms(whole, plant)) == 1, "the alarm in the store")
    (alarm,) = _alarms(whole, plant)
    assert alarm.machine_id == failing
    assert alarm.top_sensors[0].sensor in fault.sensors
    assert alarm.opened_at_ms >= fault.start_ms


def _alarms(whole: Whole, plant: Plant) -> list[Alarm]:
    return [alarm for machine in plant.machine_ids for alarm in whole.store.alarms(machine)]


def test_a_broken_bundle_is_refused_and_the_old_version_goes_on(
    whole: Whole, plant: Plant, tmp_path: Path
) -> None:
    kind = plant.machine_type
    name = events.model_name(kind)
    history = _rows(plant, 0, _HISTORY_ROWS)
    whole.by_both_ways(history)
    whole.wait_for(kind, len(history))
    assert whole.train(kind).promoted
    whole.wait_for_version(kind, "1")

    good = whole.registry.download(name, "1", tmp_path / "good")
    broken = tmp_path / "artifacts" / "model"
    broken.mkdir(parents=True)
    for file in good.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:-1] if file.suffix == ".npz" else content)
    run_id = whole.registry.log_run(
        TrainingRun(name, "broken on purpose", {}, [], {}, broken.parent)
    )
    version = whole.registry.register(name, run_id, {}, "Broken on purpose.").version
    whole.registry.promote(name, version)

    until(
        lambda: events.ModelEventKind.LOAD_REFUSED in _model_events(whole, name),
        "the refusal on the topic of model events",
    )
    live = _rows(plant, _HISTORY_ROWS, 50)
    whole.by_both_ways(live)
    whole.wait_for(kind, len(history) + len(live))
    latest = whole.store.verdicts(plant.machine_ids[0], limit=50)
    assert {one.model_version for one in latest} == {"1"}


def test_a_restart_of_every_service_loses_and_doubles_nothing(whole: Whole, plant: Plant) -> None:
    kind = plant.machine_type
    history = _rows(plant, 0, _HISTORY_ROWS)
    whole.by_both_ways(history)
    whole.wait_for(kind, len(history))
    assert whole.train(kind).promoted
    whole.wait_for_version(kind, "1")

    failing = plant.machine_ids[0]
    fault = plant.fault(
        FaultKind.BEARING_WEAR,
        failing,
        _START_MS + (_HISTORY_ROWS + 50) * plant.interval_ms,
        350 * plant.interval_ms,
    )
    faulty = plant.with_faults([fault])
    for part, service in enumerate(("recorder", "predictor", "gateway", "trainer")):
        whole.by_both_ways(_rows(faulty, _HISTORY_ROWS + 100 * part, 100))
        # The services have work in hand when they are told to stop.
        whole.stack.restart(service)
    sent = len(history) + 400 * len(plant.machine_ids)
    whole.wait_for(kind, sent)

    assert (whole.stored(kind), whole.judged(kind)) == (sent, sent)
    for machine in plant.machine_ids:
        by_status = whole.store.verdict_counts(machine).by_status
        # One warming up, at most, when the first model came: none after a restart.
        assert by_status.get(Status.WARMING_UP, 0) == 0
        assert by_status.get(Status.LATE, 0) == 0
    until(lambda: len(_alarms(whole, plant)) == 1, "the one alarm in the store")
    opened = [
        decode_alarm(message.value)
        for number in range(topics.ALARMS.partitions)
        for message in whole.broker.read(Partition(topics.ALARMS.name, number))
        if message.key == failing.encode()
    ]
    assert len({event.event_id for event in opened if event.kind is AlarmEventKind.OPENED}) == 1


def test_the_predictor_starts_without_mlflow_from_its_last_good_bundle(
    whole: Whole, plant: Plant, platform_stack: Stack
) -> None:
    kind = plant.machine_type
    history = _rows(plant, 0, _HISTORY_ROWS)
    whole.by_both_ways(history)
    whole.wait_for(kind, len(history))
    assert whole.train(kind).promoted
    whole.wait_for_version(kind, "1")

    with platform_stack.without("mlflow"):
        whole.stack.restart("predictor")
        whole.wait_for_version(kind, "1")
        live = _rows(plant, _HISTORY_ROWS, 50)
        whole.by_both_ways(live)
        whole.wait_for(kind, len(history) + len(live))
    latest = whole.store.verdicts(plant.machine_ids[0], limit=50)
    assert {one.model_version for one in latest} == {"1"}


def test_history_that_cannot_be_learnt_from_fails_with_its_reason_and_registers_nothing(
    whole: Whole, plant: Plant
) -> None:
    kind = plant.machine_type
    constant = [
        msgspec.structs.replace(reading, sensors=dict.fromkeys(reading.sensors, 1.0))
        for reading in _rows(plant, 0, 200)
    ]
    whole.by_both_ways(constant)
    whole.wait_for(kind, len(constant))
    job = whole.train(kind)
    assert job.error is not None
    assert "constant" in job.error
    assert events.model_name(kind) not in whole.registry.models()
