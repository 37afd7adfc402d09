"""Predictions made over HTTP, on their way to the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.adapters.memory.predictions import MemoryPredictionLog
from faultline.errors import Conflict, Unavailable
from faultline.ports.clock import Clock
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status, Verdict
from services.predictor.assembly import Predictor, assemble
from services.predictor.fleet import Judged
from services.predictor.metrics import Metrics
from services.predictor.ports import Ports
from services.predictor.prediction_record import PredictionRecord
from services.predictor.settings import PredictorSettings


def readings(count: int) -> list[Reading]:
    return [make_reading("a", n, {"flow": float(n)}, "pump") for n in range(count)]


class Record:
    """A record of at most five predictions, and the log that it hands over to."""

    def __init__(self, clock: Clock, most: int = 3, every_s: float = 10.0) -> None:
        self.log = MemoryPredictionLog(most)
        self.metrics = Metrics()
        self.clock = clock
        self.subject = PredictionRecord(
            self.log, metrics=self.metrics, clock=clock, queue=5, every_s=every_s, retry_s=0.0
        )
        self.predict = self.subject.recorded(self._judge)

    def _judge(self, given: Any) -> list[Judged]:
        self.clock.sleep(0.004)
        return [
            Judged(each, Verdict(timestamp_ms=each.timestamp_ms, status=Status.NO_MODEL), None)
            for each in given
        ]

    def counted(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "faultline_predictor_logged_predictions_total", {"outcome": outcome}
        )
        assert value is not None
        return value

    def waiting(self) -> float | None:
        return self.metrics.registry.get_sample_value("faultline_predictor_waiting_predictions")


@pytest.fixture
def record(clock: Clock) -> Record:
    return Record(clock)


def test_the_answer_is_what_was_judged(record: Record) -> None:
    assert [each.reading for each in record.predict(readings(2))] == readings(2)


def test_it_is_kept_with_the_time_that_each_reading_took(record: Record) -> None:
    record.predict(readings(2))
    assert record.subject.hand_over()
    assert [each.inference_time_ms for each in record.log.kept] == pytest.approx([2.0, 2.0])
    assert record.log.kept[1].inputs == {"flow": 1.0}
    assert record.log.kept[0].at_ms == record.clock.now_ms()


def test_what_does_not_fit_is_dropped_and_counted(record: Record) -> None:
    record.predict(readings(4))
    record.predict(readings(4))
    assert (record.waiting(), record.counted("dropped")) == (5.0, 3.0)


def test_batches_are_no_larger_than_the_log_takes(record: Record) -> None:
    record.predict(readings(5))
    record.subject.hand_over()
    assert (len(record.log.kept), record.counted("logged"), record.waiting()) == (3, 3.0, 2.0)


def test_while_the_log_is_away_predictions_wait(record: Record) -> None:
    record.predict(readings(2))
    record.log.trouble = Unavailable("MLflow is down")
    assert not record.subject.hand_over()
    record.log.trouble = None
    assert record.subject.hand_over()
    assert len(record.log.kept) == 2


def test_what_is_refused_is_counted_and_does_not_stop_the_rest(record: Record) -> None:
    record.predict(readings(5))
    record.log.trouble = Conflict("no such experiment")
    assert record.subject.hand_over()
    record.log.trouble = None
    record.subject.hand_over()
    assert (record.counted("refused"), record.counted("logged")) == (3.0, 2.0)


def test_when_told_to_stop_it_hands_over_what_waits(record: Record) -> None:
    record.predict(readings(5))
    stop = threading.Event()
    stop.set()
    record.subject.run(stop)
    assert len(record.log.kept) == 5


def test_when_told_to_stop_with_the_log_away_it_counts_what_is_lost(record: Record) -> None:
    record.predict(readings(2))
    record.log.trouble = Unavailable("MLflow is down")
    stop = threading.Event()
    stop.set()
    record.subject.run(stop)
    assert record.counted("dropped") == 2.0


class StopsAfter:
    """An event that is set after so many looks, with time passing between them."""

    def __init__(self, looks: int, record: Record) -> None:
        self._looks = looks
        self._record = record
        self.kept_until_then = 0

    def is_set(self) -> bool:
        self._looks -= 1
        if self._looks >= 0:
            return False
        self.kept_until_then = len(self._record.log.kept)
        return True

    def wait(self, seconds: float) -> None:
        self._record.clock.sleep(seconds)


@pytest.mark.parametrize(("count", "looks", "kept"), [(2, 40, 0), (2, 60, 2), (3, 1, 3)])
def test_a_batch_goes_when_it_is_full_or_has_waited(
    record: Record, count: int, looks: int, kept: int
) -> None:
    record.predict(readings(count))
    stop: Any = StopsAfter(looks, record)
    record.subject.run(stop)
    assert stop.kept_until_then == kept


def test_after_a_quiet_time_the_first_waits_for_more_too(record: Record) -> None:
    record.clock.sleep(1_000.0)
    record.predict(readings(1))
    stop: Any = StopsAfter(40, record)
    record.subject.run(stop)
    assert stop.kept_until_then == 0


Register = Callable[..., Any]


def test_http_predictions_are_recorded_and_the_stream_is_not(
    registry: Any, clock: Clock, register: Register, tmp_path: Path
) -> None:
    register()
    log = MemoryPredictionLog()
    predictor: Predictor = assemble(
        PredictorSettings(state_dir=tmp_path),
        Ports(
            broker=MemoryBroker(),
            registry=registry,
            store=MemoryDatabase().fleet_store(),
            comparisons=MemoryDatabase().comparison_store(),
            drift=MemoryDatabase().drift_log(),
            database=lambda: None,
            clock=clock,
            predictions=log,
        ),
    )
    predictor.loader.refresh()
    http = TestClient(predictor.app)
    reading = {"machine_id": "a", "machine_type": "pump", "timestamp": 0, "sensors": {"flow": 1.0}}
    http.post("/api/v1/predict", json=reading)
    http.post("/invocations", json={"inputs": [[1.0, 2.0]]})
    (loop,) = [loop for loop in predictor.loops if loop.name == "prediction-log"]
    stop = threading.Event()
    stop.set()
    loop.run(stop)
    assert [(each.machine_id, each.model_version, dict(each.inputs)) for each in log.kept] == [
        ("a", "1", {"flow": 1.0}),
        ("", "1", {"flow": 1.0, "heat": 2.0}),
    ]


def test_without_a_log_there_is_no_loop_for_it(world: Any) -> None:
    assert "prediction-log" not in [loop.name for loop in world.predictor.loops]
