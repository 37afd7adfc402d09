"""The same rows through MLflow's pyfunc, `POST /invocations` and the stream: the same answers.

The version is registered in the real MLflow, loaded from there by each of them; what `judge` says
of the rows is the yardstick. Only how "none" is written differs: NaN and -1 in a data frame, null
in JSON.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from starlette.testclient import TestClient

from faultline import alarms as alarm_codec
from faultline import topics, verdicts
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.mlflow import MlflowRegistry
from faultline.alarms import AlarmEvent, AlarmEventKind, AlarmPolicy, AlarmTracker, Source, follow
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import MachineHistory
from faultline.detector.fit import fit
from faultline.events import model_name
from faultline.judge import EVERYTHING, Judgement, judge
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.ports.registry import ScoringForm, TrainingRun
from faultline.readings import Reading, encode_batch, make_reading
from faultline.settings import RegistrySettings
from faultline.verdicts import Status, Verdict
from services.predictor.assembly import Predictor, assemble
from services.predictor.ports import Ports
from services.predictor.settings import PredictorSettings

pytestmark = pytest.mark.real

SENSORS = ("flow", "heat", "load")
START_MS = 1_795_000_000_000
STEP_MS = 1_000
MACHINE = "pump-7"
_ALARM_POLICY = AlarmPolicy()
_DEADLINE_S = 60.0

Row = tuple[float | None, str, int | None, bool, str | None, float | None]


def ordinary(rows: int, seed: int) -> np.ndarray:
    """Rows of a machine with two operating regimes, which it changes irregularly."""
    random = np.random.default_rng(seed)
    changes = np.repeat(np.arange(rows) % 2, random.integers(15, 40, rows))
    regime = changes[:rows, None]
    return random.normal([10.0, 50.0, 3.0], [0.5, 1.0, 0.1], (rows, 3)) + regime * [4.0, 9.0, 1.0]


def day() -> np.ndarray:
    """Rows with cells and whole rows missing, two faults, and ordinary running between them."""
    values = ordinary(240, seed=9)
    values[20:23, 1] = np.nan
    values[40, :] = np.nan
    values[70:95, 2] += 5.0
    values[150:153, :] = np.nan
    values[170:200, 0] = np.nan
    values[215:, 1] += 60.0
    return values


def times(rows: int, *, with_a_gap: bool = True) -> np.ndarray:
    """A row per second; in the middle the machine was silent for an hour."""
    at_ms = START_MS + STEP_MS * np.arange(rows)
    if with_a_gap:
        at_ms[130:] += 3_600_000
    return at_ms


def readings(values: np.ndarray, at_ms: np.ndarray, kind: str) -> list[Reading]:
    return [
        make_reading(MACHINE, at, dict(zip(SENSORS, cells, strict=True)), kind)
        for at, cells in zip(at_ms.tolist(), _cells(values), strict=True)
    ]


def _cells(values: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(cell) else cell for cell in row] for row in values.tolist()]


@dataclass(frozen=True)
class World:
    """A predictor that judges by a version of the real registry, and that version's pyfunc."""

    kind: str
    predictor: Predictor
    broker: MemoryBroker
    pyfunc: Any

    def judged(self, rows: Sequence[Reading]) -> Judgement:
        """What everything else is measured by."""
        model = self.predictor.slot.model(self.kind)
        return judge(model, None, rows, _ALARM_POLICY, EVERYTHING)

    def invoked(self, records: Sequence[dict[str, Any]]) -> list[Row]:
        answer = TestClient(self.predictor.app).post(
            "/invocations",
            content=json.dumps({"dataframe_records": records}),
            headers={"content-type": "application/json"},
            params={"machine_type": self.kind},
        )
        assert answer.status_code == 200, answer.text
        columns = ("score", "status", "cluster", "known", "top_sensor", "top_share")
        return [tuple(one[name] for name in columns) for one in answer.json()["predictions"]]

    def by_pyfunc(self, frame: Any) -> list[Row]:
        return [
            (
                _none_if(np.isnan(score), score),
                status,
                _none_if(cluster == -1, cluster),
                known,
                top_sensor,
                _none_if(np.isnan(share), share),
            )
            for score, status, cluster, known, top_sensor, share in self.pyfunc.predict(
                frame
            ).itertuples(index=False)
        ]

    def streamed(self, rows: Sequence[Reading]) -> tuple[list[Verdict], list[AlarmEvent]]:
        """Send readings in batches of seven, and wait for what the stream says of them."""
        producer = self.broker.producer()
        for start in range(0, len(rows), 7):
            part = rows[start : start + 7]
            producer.send(topics.READINGS.name, MACHINE.encode(), encode_batch(part))
        stop = threading.Event()
        thread = threading.Thread(target=self.predictor.stream.run, args=(stop,))
        thread.start()
        try:
            deadline_s = time.monotonic() + _DEADLINE_S
            while len(self._verdicts()) < len(rows):
                assert time.monotonic() < deadline_s, "the stream does not get to the end"
                stop.wait(0.01)
        finally:
            stop.set()
            thread.join(_DEADLINE_S)
        return self._verdicts(), [alarm_codec.decode(one) for one in self._values(topics.ALARMS)]

    def _verdicts(self) -> list[Verdict]:
        batches = [verdicts.decode(value) for value in self._values(topics.VERDICTS)]
        return [verdict for batch in batches for verdict in batch.verdicts]

    def _values(self, topic: topics.Topic) -> Iterator[bytes]:
        for number in range(topic.partitions):
            for message in self.broker.read(Partition(topic.name, number)):
                yield message.value


def _none_if(is_none: bool, value: Any) -> Any:
    return None if is_none else value


@pytest.fixture
def world(platform: Endpoints, tmp_path: Path) -> Iterator[World]:
    kind = f"t{uuid4().hex[:12]}"
    name = model_name(kind)
    histories = [
        MachineHistory(f"pump-{number}", START_MS + STEP_MS * np.arange(300), ordinary(300, number))
        for number in (1, 2)
    ]
    detector = fit(SENSORS, histories).detector
    bundle_sum = write_bundle(
        tmp_path / "artifacts" / "model",
        detector,
        golden_batch(detector, histories[0]),
        model_name=name,
        machine_type=kind,
        created_ms=0,
        step_ms=STEP_MS,
    )
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
    form = ScoringForm(SENSORS, STEP_MS)
    run = TrainingRun(name, "test", {}, [], {}, tmp_path / "artifacts", scoring=form)
    tags = {"bundle_sha256": bundle_sum, "gate": "passed"}
    version = registry.register(name, registry.log_run(run), tags, "A test's.")
    registry.promote(name, version.version)

    broker, database = MemoryBroker(), MemoryDatabase()
    broker.create_topics(topics.ALL)
    predictor = assemble(
        PredictorSettings(state_dir=tmp_path / "state"),
        Ports(
            broker=broker,
            registry=registry,
            store=database.fleet_store(),
            comparisons=database.comparison_store(),
            drift=database.drift_log(),
            database=lambda: None,
            clock=SystemClock(),
        ),
    )
    # The registry has the models of other tests too.
    predictor.loader._follow(name)
    with warnings.catch_warnings():
        # MLflow is not content with its own type hints.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc  # noqa: PLC0415 - takes seconds
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(platform.mlflow)
    try:
        pyfunc = mlflow.pyfunc.load_model(f"models:/{name}@production")
        yield World(kind, predictor, broker, pyfunc)
    finally:
        mlflow.set_tracking_uri(before)


def test_pyfunc_invocations_and_the_stream_agree(world: World) -> None:
    import pandas as pd  # noqa: PLC0415 - with MLflow's full package

    values, at_ms = day(), times(240)
    rows = readings(values, at_ms, world.kind)
    frame = pd.DataFrame(values, columns=SENSORS).assign(machine_id=MACHINE, timestamp=at_ms)
    records = [
        {**one.sensors, "machine_id": MACHINE, "timestamp": one.timestamp_ms} for one in rows
    ]
    invoked, by_pyfunc = world.invoked(records), world.by_pyfunc(frame)
    # The stream last: it leaves the machine a window.
    streamed, told = world.streamed(rows)
    expected = world.judged(rows)

    assert {one.status for one in expected.batch.verdicts} >= {
        Status.NORMAL,
        Status.FAILURE,
        Status.WARMING_UP,
    }
    wanted = [_row(one) for one in expected.batch.verdicts]
    _assert_equal(invoked, wanted)
    _assert_equal(by_pyfunc, wanted)
    # Explanations are published near and above the boundary alone.
    _assert_equal(
        [(*_row(one)[:4], None, None) for one in streamed],
        [(*one[:4], None, None) for one in wanted],
    )
    explained = [index for index, one in enumerate(streamed) if one.contributions]
    assert explained
    _assert_equal(
        [_row(streamed[index]) for index in explained], [wanted[index] for index in explained]
    )

    kinds = [one.kind for one in expected.alarm_events]
    assert kinds.count(AlarmEventKind.OPENED) == 2
    assert kinds.count(AlarmEventKind.CLOSED) == 1
    assert _alarms(told) == _alarms(expected.alarm_events)
    for answers in (invoked, by_pyfunc):
        assert _alarms(_followed(answers, at_ms, world)) == _alarms(expected.alarm_events)


def test_rows_without_a_time_follow_at_the_usual_step_of_the_training(world: World) -> None:
    import pandas as pd  # noqa: PLC0415

    values = day()
    at_ms = STEP_MS * np.arange(240)
    wanted = [_row(one) for one in world.judged(readings(values, at_ms, world.kind)).batch.verdicts]
    frame = pd.DataFrame(values, columns=SENSORS).assign(machine_id=MACHINE)
    records = [
        {**dict(zip(SENSORS, cells, strict=True)), "machine_id": MACHINE}
        for cells in _cells(values)
    ]
    _assert_equal(world.by_pyfunc(frame), wanted)
    _assert_equal(world.invoked(records), wanted)


def _row(verdict: Verdict) -> Row:
    top = verdict.contributions[0] if verdict.contributions else None
    return (
        verdict.score,
        str(verdict.status),
        verdict.cluster,
        verdict.known,
        None if top is None else top.sensor,
        None if top is None else top.share,
    )


def _assert_equal(given: Sequence[Row], wanted: Sequence[Row]) -> None:
    """Numbers to 1e-9, all else exactly."""
    assert [one[1:5] for one in given] == [one[1:5] for one in wanted]
    for column in (0, 5):
        np.testing.assert_allclose(
            np.array([one[column] for one in given], dtype=float),
            np.array([one[column] for one in wanted], dtype=float),
            rtol=0,
            atol=1e-9,
        )


def _followed(answers: Sequence[Row], at_ms: np.ndarray, world: World) -> list[AlarmEvent]:
    """The alarms that answers come to."""
    given = [
        Verdict(timestamp_ms=at, status=Status(status), score=score)
        for at, (score, status, *_) in zip(at_ms.tolist(), answers, strict=True)
    ]
    source = Source(MACHINE, world.kind, model_name(world.kind), "1")
    return follow(AlarmTracker(), source, given, _ALARM_POLICY)[1]


def _alarms(told: Sequence[AlarmEvent]) -> list[tuple[str, str, str, int, int, int | None, int]]:
    return [
        (
            one.event_id,
            str(one.kind),
            one.alarm.alarm_id,
            one.alarm.began_at_ms,
            one.alarm.opened_at_ms,
            one.alarm.closed_at_ms,
            one.alarm.bad_readings,
        )
        for one in told
    ]
