"""Filling windows from stored readings: bounded, beside the stream, and never without proof."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from faultline import topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.alarms import AlarmPolicy
from faultline.detector import Detector, Window
from faultline.errors import Unavailable
from faultline.judge import Model
from faultline.ports.broker import Message, Partition
from faultline.ports.stores import HistoryQuery, MachineRows, OffsetRange, RecordBatch
from faultline.readings import Reading, encode_batch, make_reading
from faultline.topics import READINGS
from faultline.verdicts import Status
from services.predictor import older_rows
from services.predictor.challenger import Challenger
from services.predictor.contest import Contest
from services.predictor.fleet import Fleet
from services.predictor.metrics import Metrics
from services.predictor.older_rows import OlderRows, preceded_by

P0 = Partition(READINGS.name, 0)
WINDOW_ROWS = 150


class Store:
    """A store of readings that can be switched off, and notes what it is asked for."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.down = False
        self.asked: list[HistoryQuery] = []
        self.read = 0
        self._held: dict[str, threading.Event] = {}

    def put(self, readings: Sequence[Reading]) -> None:
        batch = RecordBatch({P0: OffsetRange(0, 0)}, readings)
        self.database.record_store().record("recorder", batch, lambda _: None)

    def hold(self, machine_id: str) -> threading.Event:
        """Let what is asked for the machine wait until the event is set."""
        return self._held.setdefault(machine_id, threading.Event())

    def history(self, query: HistoryQuery) -> Iterator[MachineRows]:
        self.asked.append(query)
        for machine_id in query.machines or ():
            if machine_id in self._held:
                assert self._held[machine_id].wait(20.0)
        if self.down:
            raise Unavailable("the database is switched off")
        for rows in self.database.fleet_store().history(query):
            self.read += len(rows.timestamps_ms)
            yield rows


class Setup:
    """A fleet that has lost its snapshots, and the store behind it."""

    def __init__(self, detector: Detector, clock: Any) -> None:
        self.store = Store()
        self.clock = clock
        self.metrics = Metrics()
        self.older_rows = OlderRows(
            self.store,  # type: ignore[arg-type]
            metrics=self.metrics,
            clock=clock,
            retry_s=1.0,
        )
        model = Model("faultline-pump", "1", detector)
        self.fleet = Fleet(lambda _: Contest(model), AlarmPolicy(), older_rows=self.older_rows)
        self.fleet.own(P0, {})
        self._offset = 0

    def judge(self, *readings: Reading) -> list[Status]:
        self._offset += 1
        cycle = self.fleet.judge([Message(P0, self._offset, b"a", encode_batch(readings))])
        self.fleet.apply(cycle)
        return [verdict.status for batch in cycle.verdicts for verdict in batch.verdicts]

    def outcome(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "faultline_predictor_warm_ups_total", {"outcome": outcome}
        )


def _readings(first: int, count: int, machine: str = "a") -> list[Reading]:
    values = np.random.default_rng(first).normal(scale=0.1, size=(count, 2))
    return [
        make_reading(machine, (first + row) * 1_000, {"flow": flow, "heat": heat}, "pump")
        for row, (flow, heat) in enumerate(values.tolist())
    ]


@pytest.fixture
def setup(make_detector: Callable[..., Detector], clock: Any) -> Setup:
    return Setup(make_detector(window_rows=WINDOW_ROWS), clock)


def test_after_lost_snapshots_a_machine_goes_on_from_its_stored_rows(setup: Setup) -> None:
    readings = _readings(0, 400)
    setup.store.put(readings[:302])
    assert set(setup.judge(*readings[300:302])) == {Status.WARMING_UP}
    assert setup.older_rows.step()
    assert setup.judge(readings[302]) == [Status.NORMAL]
    assert setup.outcome("filled") == 1.0


def test_it_scores_as_if_nothing_had_been_lost(
    setup: Setup, make_detector: Callable[..., Detector], clock: Any
) -> None:
    readings = _readings(0, 400)
    setup.store.put(readings[:302])
    setup.judge(*readings[300:302])
    setup.older_rows.step()
    anew = setup.fleet.judge([Message(P0, 9, b"a", encode_batch(readings[302:]))])
    undisturbed = Setup(make_detector(window_rows=WINDOW_ROWS), clock)
    undisturbed.judge(*readings[:302])
    same = undisturbed.fleet.judge([Message(P0, 9, b"a", encode_batch(readings[302:]))])
    scores = [
        [verdict.score for batch in cycle.verdicts for verdict in batch.verdicts]
        for cycle in (anew, same)
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)


def test_while_the_database_is_down_it_warms_up_by_readings(setup: Setup) -> None:
    setup.store.down = True
    readings = _readings(0, WINDOW_ROWS + 2)
    setup.judge(*readings[:2])
    setup.older_rows.step()
    statuses = setup.judge(*readings[2:])
    assert statuses.index(Status.NORMAL) == WINDOW_ROWS - 3


def test_a_store_that_is_down_is_asked_again_a_few_times_and_then_no_more(setup: Setup) -> None:
    setup.store.down = True
    setup.judge(*_readings(0, 2))
    setup.older_rows.step()
    for _ in range(20):
        setup.older_rows.step_again()
        setup.clock.seconds += 1.0
    assert len(setup.store.asked) == 5
    assert setup.outcome("not_to_be_had") == 1.0


def test_it_does_not_ask_again_before_its_time(setup: Setup) -> None:
    setup.store.down = True
    setup.judge(*_readings(0, 2))
    assert setup.older_rows.step()
    assert not setup.older_rows.step_again()
    setup.clock.seconds += 1.0
    assert setup.older_rows.step_again()


def test_rows_that_do_not_reach_up_to_the_window_wait_for_the_recorder(setup: Setup) -> None:
    readings = _readings(0, 400)
    setup.store.put(readings[:299])
    setup.judge(*readings[300:302])
    setup.older_rows.step()
    assert setup.judge(readings[302]) == [Status.WARMING_UP]
    setup.store.put(readings[299:303])
    setup.clock.seconds += 1.0
    setup.older_rows.step_again()
    assert setup.judge(readings[303]) == [Status.NORMAL]


def test_what_is_read_is_bounded_by_time(setup: Setup) -> None:
    readings = _readings(0, 4_000)
    setup.store.put(readings)
    setup.judge(*readings[3_000:3_002])
    setup.older_rows.step()
    assert setup.store.read < 2 * WINDOW_ROWS


def test_of_a_machine_that_was_much_faster_no_more_than_so_many_rows_are_read(
    setup: Setup,
) -> None:
    fast = [
        make_reading("a", at_ms, {"flow": 0.1, "heat": 0.1}, "pump")
        for at_ms in range(0, 60_000, 10)
    ]
    slow = _readings(60, 2)
    setup.store.put([*fast, *slow])
    setup.judge(*slow)
    setup.older_rows.step()
    for _ in range(20):
        setup.older_rows.step_again()
        setup.clock.seconds += 1.0
    assert setup.store.read <= 5 * 20 * WINDOW_ROWS
    assert setup.outcome("not_to_be_had") == 1.0


def test_only_sensors_that_the_machine_or_the_model_has_now_are_read(setup: Setup) -> None:
    setup.judge(*_readings(0, 2))
    setup.older_rows.step()
    [query] = setup.store.asked
    assert query.sensors == ("flow", "heat")


def test_a_new_machine_is_asked_for_once_and_has_nothing(setup: Setup) -> None:
    readings = _readings(0, 10)
    setup.store.put(readings)
    setup.judge(*readings[:2])
    setup.older_rows.step()
    setup.judge(*readings[2:])
    assert not setup.older_rows.step()
    assert len(setup.store.asked) == 1
    assert setup.outcome("nothing_older") == 1.0


def test_a_window_that_is_long_enough_is_not_asked_for(setup: Setup) -> None:
    setup.judge(*_readings(0, 400))
    assert not setup.older_rows.step()


def test_one_that_fails_holds_up_no_other(setup: Setup) -> None:
    readings = _readings(0, 400, "b")
    setup.store.put(readings[:302])
    setup.store.down = True
    setup.judge(*_readings(0, 2))
    setup.older_rows.step()
    setup.store.down = False
    setup.judge(*readings[300:302])
    assert setup.older_rows.step()
    assert setup.judge(readings[302]) == [Status.NORMAL]
    assert setup.store.asked[-1].machines == ["b"]


def test_one_whose_rows_take_long_again_and_again_holds_up_no_other(setup: Setup) -> None:
    """It is asked for a second time by a loop of its own."""
    readings = _readings(0, 400, "b")
    setup.store.put(readings[:302])
    setup.store.down = True
    setup.judge(*_readings(0, 2))
    setup.older_rows.step()
    setup.store.down = False
    setup.clock.seconds += 1.0
    go_on = setup.store.hold("a")
    slow = threading.Thread(target=setup.older_rows.step_again)
    slow.start()
    try:
        setup.judge(*readings[300:302])
        assert setup.older_rows.step()
        assert setup.judge(readings[302]) == [Status.NORMAL]
    finally:
        go_on.set()
        slow.join(20.0)


def test_what_is_found_and_never_taken_is_bounded_in_numbers(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_rows, "_CELLS", 2 * 2 * WINDOW_ROWS)
    for machine in ("a", "b", "c"):
        readings = _readings(0, 400, machine)
        setup.store.put(readings[:302])
        setup.judge(*readings[300:302])
        setup.older_rows.step()
    assert [setup.older_rows.take(machine) is None for machine in ("a", "b", "c")] == [
        True,
        False,
        False,
    ]


def test_of_a_wide_machine_fewer_rows_are_read(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_rows, "_CELLS_OF_ONE", 2 * 2 * WINDOW_ROWS)
    setup.judge(*_readings(0, 2))
    setup.older_rows.step()
    [query] = setup.store.asked
    assert query.max_rows == 2 * WINDOW_ROWS


def test_after_a_restart_a_challenger_that_looks_further_back_goes_on_from_stored_rows(
    make_detector: Callable[..., Detector], clock: Any
) -> None:
    setup = Setup(make_detector(), clock)
    broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    challenger = Challenger(
        broker,
        AlarmPolicy(),
        metrics=setup.metrics,
        clock=clock,
        queue_readings=10_000,
        tell_s=5.0,
        older_rows=setup.older_rows,
    )
    contest = Contest(
        Model("faultline-pump", "1", make_detector()),
        Model("faultline-pump", "2", make_detector(window_rows=WINDOW_ROWS)),
    )
    fleet = Fleet(lambda _: contest, AlarmPolicy(), challenger=challenger)
    fleet.own(P0, {})
    readings = _readings(0, 400)
    setup.store.put(readings[:302])
    for first, last in ((300, 302), (302, 310)):
        cycle = fleet.judge([Message(P0, first, b"a", encode_batch(readings[first:last]))])
        fleet.apply(cycle)
        challenger.offer(cycle.to_compare)
        assert challenger.step()
        setup.older_rows.step()
    [counts] = challenger.counts()
    assert counts.readings == 8


def _window(*seconds: int) -> Window:
    times = np.array(seconds, dtype=np.int64)
    return Window(("a",), times, times[:, np.newaxis].astype(np.float64))


def test_rows_with_a_hole_before_the_window_are_not_put_before_it() -> None:
    window = _window(30, 40)
    assert preceded_by(window, _window(10, 20)) is window


def test_sensors_of_both_are_kept() -> None:
    older = Window(("b",), np.array([10, 20]), np.array([[1.0], [2.0]]))
    joined = preceded_by(_window(20, 30), older)
    assert joined.sensors == ("a", "b")
    assert joined.values[0, 1] == 1.0
    assert np.isnan(joined.values[0, 0])
