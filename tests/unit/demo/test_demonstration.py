"""All steps of a demonstration, on a stack in memory that judges whatever it is sent at once."""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from faultline.demo.heard import HeardVerdicts
from faultline.demo.host_fault import HostFault
from faultline.demo.narrator import Narrator
from faultline.demo.parts import Parts
from faultline.demo.report import Observed
from faultline.demo.scenario import Scenario, plant_scenario
from faultline.demo.stress import Stress
from faultline.detector.fit import FitConfig, fit
from faultline.detector.history import MachineHistory
from faultline.events import machine_type_of, model_name
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

    def __init__(
        self,
        lost: frozenset[str] = frozenset(),
        promoting: bool = True,
        worse_passes: bool = False,
    ) -> None:
        self.database = MemoryDatabase(CLOCK)
        self.registry = MemoryRegistry(CLOCK)
        self._lost = lost
        self._promoting = promoting
        self._worse_passes = worse_passes
        self.heard = HeardVerdicts(CLOCK)
        self._promotions: list[dict[str, str | None]] = []
        self._models: dict[tuple[str, str], Model] = {}
        self._lock = threading.Lock()
        self._offset = 0
        self._live: dict[str, Model] = {}
        self._states: dict[str, MachineState] = {}
        self._jobs: dict[str, dict[str, Any]] = {}

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
                self.heard.hear(judgement.batch)
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
        """Take a job, and do it when it is asked for; promote and roll back."""
        parts = request.url.path.split("/")[5:]
        if parts[-1] in {"promote", "rollback"}:
            asked = json.loads(request.content)
            kind = "promotion" if parts[-1] == "promote" else "rollback"
            to = parts[2] if kind == "promotion" else self._promotions[-1]["previous_version"]
            assert to is not None
            self._promote(parts[0], to, kind, asked["requested_by"], asked["reason"])
            return httpx.Response(200, json={})
        if parts[-1] == "versions":
            return httpx.Response(200, json={"versions": self._versions(parts[0])})
        if parts[-1] == "history":
            newest_first = self._promotions[::-1]
            mine = [one for one in newest_first if one["name"] == parts[0]]
            return httpx.Response(200, json={"promotions": mine})
        if request.method == "POST":
            job_id = f"j-{len(self._jobs)}"
            self._jobs[job_id] = json.loads(request.content)
            return httpx.Response(202, json={"job_id": job_id, "state": "queued"})
        job_id = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(200, json={"job_id": job_id, **self._train(self._jobs[job_id])})

    def _train(self, asked: dict[str, Any]) -> dict[str, object]:
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
        gate = "passed" if self._worse_passes or "sensors" not in asked else "refused"
        tags = {
            "silhouette": str(fitted.silhouette),
            "k": str(fitted.k),
            "gate": gate,
            "gate_reason": "too loud beside version 1 of the model",
        }
        version = self.registry.register(name, run_id, tags, "").version
        self._models[name, version] = Model(name, version, detector)
        promoted = self._promoting and gate == "passed" and asked["promotion"] == "auto"
        if promoted:
            self._promote(name, version, "promotion", "gate", "passed")
        return {
            "state": "succeeded",
            "model_name": name,
            "model_version": version,
            "promoted": promoted,
            "decision": "the gate is a fake",
        }

    def _promote(self, name: str, version: str, kind: str, actor: str, reason: str) -> None:
        before = next((one for one in self._versions(name) if one["aliases"]), None)
        self.registry.promote(name, version)
        self._promotions.append(
            {
                "name": name,
                "version": version,
                "previous_version": None if before is None else str(before["version"]),
                "at": "2026-11-21T08:00:00.000Z",
                "kind": kind,
                "actor": actor,
                "reason": reason,
            }
        )
        with self._lock:
            self._live[machine_type_of(name)] = self._models[name, version]

    def _versions(self, name: str) -> list[dict[str, object]]:
        return [
            {
                "version": one.version,
                "aliases": ["production"] if "production" in one.aliases else [],
                "gate": one.tags["gate"],
                "gate_reason": one.tags["gate_reason"],
            }
            for one in self.registry.versions(name)
        ]

    def predictor(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/comparison"):
            return httpx.Response(200, json={"comparisons": [{"current": self._compared()}]})
        models = [
            {"machine_type": each, "version": model.version} for each, model in self._live.items()
        ]
        return httpx.Response(200, json={"models": models})

    def _compared(self) -> dict[str, object]:
        side = {"failure_rate": 0.0, "alarms_per_1000_readings": 0.0}
        [newest, *_] = self.registry.versions(model_name("pump"))
        return {
            "champion_version": self._live["pump"].version,
            "challenger_version": newest.version,
            "readings": 1_000,
            "agreement": 1.0,
            "champion": side,
            "challenger": side,
        }


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
        slow_from_ms=scenario.live_start_ms + 6 * 60_000,
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
        heard=stack.heard,
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
    assert orders == {("none", "1", "3")}


def test_the_versions_are_told_with_what_they_judged(observed: Observed) -> None:
    pumps = [one for one in observed.versions if one.name == model_name("pump")]
    assert [(one.version, one.stage) for one in pumps] == [
        ("1", Stage.PRODUCTION),
        ("2", Stage.STAGING),
        ("3", Stage.ARCHIVED),
    ]
    assert [one.verdicts > 0 for one in pumps] == [True, False, True]


def test_readings_that_get_lost_are_found_out() -> None:
    observed = perform(MemoryStack(lost=frozenset({"pump-02"})))
    assert "every reading sent is stored once and given one verdict" in failing(observed)
    [wrong] = [one for one in observed.machines if one.stored != one.sent]
    assert wrong.machine_id == "pump-02"


def test_the_history_has_both_promotions_and_the_rollback(observed: Observed) -> None:
    assert [(one.kind, one.version, one.actor) for one in observed.rollback.history] == [
        ("rollback", "1", "demo"),
        ("promotion", "3", "demo"),
        ("promotion", "1", "gate"),
    ]


def test_a_worse_candidate_that_comes_in_is_found_out() -> None:
    observed = perform(MemoryStack(worse_passes=True))
    assert any(name.startswith("a worse candidate is refused") for name in failing(observed))


def test_without_a_first_version_it_ends_and_says_why() -> None:
    with pytest.raises(NoFirstVersion, match="the gate is a fake"):
        perform(MemoryStack(promoting=False))
