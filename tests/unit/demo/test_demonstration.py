"""All steps of a demonstration, on a stack in memory that judges whatever it is sent at once."""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from rich.console import Console

from faultline import topics
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.alarms import AlarmPolicy
from faultline.bundle import golden_batch, write_bundle
from faultline.client import PredictorClient, TrainerClient
from faultline.demo.demonstration import Demonstration, NoFirstVersion
from faultline.demo.expectations import judge_expectations
from faultline.demo.feed import Feed
from faultline.demo.host_fault import HostFault
from faultline.demo.narrator import Narrator
from faultline.demo.parts import Parts
from faultline.demo.report import Observed
from faultline.demo.scenario import Scenario, plant_scenario
from faultline.demo.stress import Stress
from faultline.detector.fit import FitConfig, fit
from faultline.detector.history import MachineHistory
from faultline.events import model_name
from faultline.judge import Model, judge
from faultline.machine_state import MachineState
from faultline.ports.broker import Partition
from faultline.ports.registry import Stage, TrainingRun
from faultline.ports.stores import HistoryQuery, OffsetRange, RecordBatch
from faultline.readings import Reading, by_machine, make_reading, parse_timestamp
from faultline.sources.host import HOST_TYPE

CLOCK = SystemClock()


class MemoryStack:
    """Stores and judges what it is sent, and trains when it is asked.

    Of the machines in `lost` it stores nothing once there is a version.
    """

    def __init__(self, lost: frozenset[str] = frozenset(), promoting: bool = True) -> None:
        self.database = MemoryDatabase(CLOCK)
        self.registry = MemoryRegistry(CLOCK)
        self._lost = lost
        self._promoting = promoting
        self._lock = threading.Lock()
        self._offset = 0
        self._live: dict[str, Model] = {}
        self._states: dict[str, MachineState] = {}
        self._jobs: dict[str, dict[str, str]] = {}

    def send(self, readings: Sequence[Reading]) -> None:
        with self._lock:
            for machine_id, own in by_machine(readings).items():
                judgement = judge(
                    self._live.get(own[0].machine_type),
                    self._states.get(machine_id),
                    own,
                    AlarmPolicy(),
                )
                self._states[machine_id] = judgement.state
                lost = machine_id in self._lost and judgement.batch.model_name is not None
                kept = [] if lost else own
                self._record(
                    readings=kept,
                    verdicts=[judgement.batch],
                    alarm_events=judgement.alarm_events,
                )

    def flush(self) -> None:
        """Everything is there already."""

    def _record(self, **rows: Sequence[object]) -> None:
        offsets = {Partition("test", 0): OffsetRange(self._offset, self._offset + 1)}
        self._offset += 1
        batch = RecordBatch(offsets=offsets, **rows)  # type: ignore[arg-type]
        self.database.record_store().record("test", batch, lambda conflicts: None)

    def trainer(self, request: httpx.Request) -> httpx.Response:
        """Take a job, and do it when it is asked for."""
        if request.method == "POST":
            job_id = f"j-{len(self._jobs)}"
            self._jobs[job_id] = json.loads(request.content)
            return httpx.Response(202, json={"job_id": job_id, "state": "queued"})
        job_id = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(200, json={"job_id": job_id, **self._train(self._jobs[job_id])})

    def _train(self, asked: dict[str, str]) -> dict[str, object]:
        machine_type, name = asked["machine_type"], model_name(asked["machine_type"])
        end_ms = parse_timestamp(asked["end"]) if "end" in asked else None
        rows = list(self.database.fleet_store().history(HistoryQuery(machine_type, end_ms=end_ms)))
        histories = [
            MachineHistory(one.machine_id, one.timestamps_ms, one.values)
            for one in rows
            if len(one.timestamps_ms)
        ]
        fitted = fit(rows[0].sensors, histories, FitConfig(k_max=3, min_rows=20))
        detector = fitted.detector
        used = [rows[0].sensors.index(sensor) for sensor in detector.sensors]
        sample = replace(histories[0], values=np.ascontiguousarray(histories[0].values[:, used]))
        with tempfile.TemporaryDirectory() as folder:
            write_bundle(
                Path(folder) / "model",
                detector,
                golden_batch(detector, sample),
                model_name=name,
                machine_type=machine_type,
                created_ms=CLOCK.now_ms(),
            )
            run = TrainingRun("test", "test", {}, [], {}, Path(folder))
            run_id = self.registry.log_run(run)
        tags = {"silhouette": str(fitted.silhouette), "k": str(fitted.k), "gate": "passed"}
        version = self.registry.register(name, run_id, tags, "").version
        if self._promoting:
            self.registry.promote(name, version)
            with self._lock:
                self._live[machine_type] = Model(name, version, detector)
        return {
            "state": "succeeded",
            "model_name": name,
            "model_version": version,
            "promoted": self._promoting,
            "decision": "the gate is a fake",
        }

    def predictor(self, request: httpx.Request) -> httpx.Response:
        models = [
            {"machine_type": each, "version": model.version} for each, model in self._live.items()
        ]
        return httpx.Response(200, json={"models": models})


def short(scenario: Scenario) -> Scenario:
    """The plant's last half hour of history, and its live part within a few seconds.

    The second version is asked for early: far enough from where the live part would wait for it.
    """
    begin_ms = scenario.live_start_ms - 30 * 60_000

    def history() -> list[Reading]:
        return [reading for reading in scenario.history() if reading.timestamp_ms >= begin_ms]

    return replace(
        scenario,
        history=lambda: iter(history()),
        speed=1_000.0,
        train_at_ms=scenario.live_start_ms + 5 * 60_000,
        excluded=(),
    )


SCENARIO = short(plant_scenario(1_795_000_000_000, machines=5))


def host_batches() -> Iterator[list[Reading]]:
    rng = np.random.default_rng(0)
    now_ms = CLOCK.now_ms()
    for row in range(400):
        yield [make_reading("here", now_ms + row, {"load": float(rng.normal())}, HOST_TYPE)]


def perform(stack: MemoryStack) -> Observed:
    broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    parts = Parts(
        http=stack,
        topic=stack,
        producer=broker.producer(),
        store=stack.database.fleet_store(),
        open_registry=lambda: stack.registry,
        trainer=TrainerClient("http://t", httpx.MockTransport(stack.trainer)),
        predictor=PredictorClient("http://p", httpx.MockTransport(stack.predictor)),
    )
    host = Feed("host", host_batches(), stack)
    narrator = Narrator(Console(file=io.StringIO()))
    fault = HostFault("here", Stress(0.1, cores=1, memory_bytes=0), 0.0, CLOCK)
    demonstration = Demonstration(
        SCENARIO,
        parts,
        host=host,
        host_id="here",
        narrator=narrator,
        clock=CLOCK,
        patience_s=0.5,
    )
    host.start()
    return demonstration.run(fault)


@pytest.fixture(scope="module")
def observed() -> Observed:
    return perform(MemoryStack())


def failing(observed: Observed) -> list[str]:
    judged = judge_expectations(observed, model_name("pump"), model_name(HOST_TYPE))
    return [expectation.name for expectation in judged if not expectation.holds]


def test_on_a_stack_that_keeps_its_promises_they_hold(observed: Observed) -> None:
    # How good a detector half an hour of history makes is not the question here.
    about_the_detector = ("machines without a fault", "every fault that must be found")
    assert [name for name in failing(observed) if not name.startswith(about_the_detector)] == []


def test_every_pump_and_this_machine_are_counted(observed: Observed) -> None:
    assert [one.machine_id for one in observed.machines] == ["here", *SCENARIO.machine_ids]
    assert all(one.sent == one.stored == one.judged > 0 for one in observed.machines)


def test_each_pump_is_judged_by_both_versions_in_turn(observed: Observed) -> None:
    orders = {one.versions_in_order for one in observed.machines if one.machine_type == "pump"}
    assert orders == {("none", "1", "2")}


def test_the_versions_are_told_with_what_they_judged(observed: Observed) -> None:
    pumps = [one for one in observed.versions if one.name == model_name("pump")]
    assert [(one.version, one.stage) for one in pumps] == [
        ("1", Stage.ARCHIVED),
        ("2", Stage.PRODUCTION),
    ]
    assert all(one.verdicts > 0 for one in pumps)


def test_readings_that_get_lost_are_found_out() -> None:
    observed = perform(MemoryStack(lost=frozenset({"pump-02"})))
    assert "every reading sent is stored once and given one verdict" in failing(observed)
    [wrong] = [one for one in observed.machines if one.stored != one.sent]
    assert wrong.machine_id == "pump-02"


def test_without_a_first_version_it_ends_and_says_why() -> None:
    with pytest.raises(NoFirstVersion, match="the gate is a fake"):
        perform(MemoryStack(promoting=False))
