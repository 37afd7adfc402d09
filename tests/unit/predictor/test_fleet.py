"""The fleet: a batch is judged beside the machines, and changes them only when it is applied."""

from __future__ import annotations

import numpy as np
import pytest

from faultline.alarms import AlarmPolicy
from faultline.detector import Detector
from faultline.judge import Model
from faultline.machine_state import LateRun, MachineState, encode_state
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading, encode_batch, make_reading
from faultline.topics import READINGS
from faultline.verdicts import Status
from services.predictor.contest import Contest
from services.predictor.fleet import Cycle, Fleet
from services.predictor.snapshots import LiveMachine, encode_snapshot, restore

P0, P1 = Partition(READINGS.name, 0), Partition(READINGS.name, 1)


def _model(version: str, window_rows: int = 2) -> Model:
    detector = Detector(
        sensors=("flow",),
        window_rows=window_rows,
        max_gap_ms=60_000,
        centre=np.zeros(1),
        scale=np.ones(1),
        spread=np.ones(1),
        clusters=np.zeros((1, 1)),
        boundary=2.0,
        unknown_score=2.0,
    )
    return Model("faultline-pump", version, detector)


MODEL = _model("1")


def _reading(machine_id: str, second: int, flow: float = 0.0, kind: str = "pump") -> Reading:
    return make_reading(machine_id, second * 1_000, {"flow": flow}, kind)


def _message(offset: int, *readings: Reading, partition: Partition = P0) -> Message:
    return Message(partition, offset, b"key", encode_batch(readings))


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(
        lambda kind: Contest({"pump": MODEL}.get(kind)), AlarmPolicy(open_bad=2, open_window=2)
    )
    fleet.own(P0, {})
    fleet.own(P1, {})
    return fleet


def _statuses(cycle: Cycle) -> list[tuple[str, list[Status]]]:
    return [
        (batch.machine_id, [verdict.status for verdict in batch.verdicts])
        for batch in cycle.verdicts
    ]


def test_a_batch_is_judged_machine_by_machine_across_messages(fleet: Fleet) -> None:
    cycle = fleet.judge(
        [
            _message(4, _reading("a", 1), _reading("b", 1)),
            _message(5, _reading("a", 2)),
        ]
    )
    assert _statuses(cycle) == [
        ("a", [Status.WARMING_UP, Status.NORMAL]),
        ("b", [Status.WARMING_UP]),
    ]
    assert cycle.offsets == {P0: 6}
    assert cycle.judged == 3


def test_judging_changes_nothing_until_it_is_applied(fleet: Fleet) -> None:
    cycle = fleet.judge([_message(0, _reading("a", 1))])
    assert fleet.state_of("a") is None
    fleet.apply(cycle)
    state = fleet.state_of("a")
    assert state is not None
    assert state.window.timestamps_ms.tolist() == [1_000]


def test_a_batch_that_was_not_applied_can_be_judged_again_with_the_same_result(
    fleet: Fleet,
) -> None:
    messages = [_message(0, _reading("a", 1, 9.0), _reading("a", 2, 9.0), _reading("a", 3, 9.0))]
    first, second = fleet.judge(messages), fleet.judge(messages)
    assert first.verdicts == second.verdicts
    assert first.alarm_events == second.alarm_events


def test_what_a_snapshot_covers_is_not_judged_again(fleet: Fleet) -> None:
    covered = [_message(0, _reading("a", 1)), _message(1, _reading("a", 2), _reading("b", 2))]
    first = fleet.judge(covered)
    fleet.own(P0, {"a": first.machines[P0]["a"]})
    again = fleet.judge([*covered, _message(2, _reading("a", 3))])
    assert _statuses(again) == [("b", [Status.WARMING_UP]), ("a", [Status.NORMAL])]
    assert again.replayed == 2


def test_a_topic_that_was_set_up_anew_is_judged_from_its_first_offset(fleet: Fleet) -> None:
    fleet.apply(fleet.judge([_message(100, _reading("a", 1))]))
    cycle = fleet.judge([_message(0, _reading("a", 2))])
    fleet.apply(cycle)
    assert _statuses(cycle) == [("a", [Status.NORMAL])]
    live = fleet.machine(P0, "a")
    assert live is not None
    assert live.next_offset == 1


def test_a_message_that_cannot_be_read_is_counted_and_passed(fleet: Fleet) -> None:
    cycle = fleet.judge([Message(P0, 7, None, b"{oops"), _message(8, _reading("a", 1))])
    assert (cycle.unreadable, cycle.judged, cycle.offsets) == (1, 1, {P0: 9})


def test_the_valid_readings_beside_a_refused_one_are_judged(fleet: Fleet) -> None:
    value = encode_batch([_reading("a", 1)])[:-1] + b',{"machine_id":"a"}]'
    cycle = fleet.judge([Message(P0, 0, b"a", value)])
    assert (cycle.refused, cycle.judged) == (1, 1)


def test_a_batch_keeps_the_version_that_it_began_with() -> None:
    versions = iter(("1", "2", "3"))
    fleet = Fleet(lambda _: Contest(_model(next(versions))), AlarmPolicy())
    fleet.own(P0, {})
    cycle = fleet.judge([_message(0, _reading("a", 1)), _message(1, _reading("b", 1))])
    assert {batch.model_version for batch in cycle.verdicts} == {"1"}


def test_a_machine_that_changes_its_type_is_judged_by_each_model_in_turn(fleet: Fleet) -> None:
    cycle = fleet.judge(
        [_message(0, _reading("a", 1), _reading("a", 2, kind="fan"), _reading("a", 3))]
    )
    assert [(batch.machine_type, batch.model_version) for batch in cycle.verdicts] == [
        ("pump", "1"),
        ("fan", None),
        ("pump", "1"),
    ]


def test_a_partition_that_is_gone_takes_its_machines_along(fleet: Fleet) -> None:
    fleet.apply(fleet.judge([_message(0, _reading("a", 1))]))
    fleet.apply(fleet.judge([_message(0, _reading("b", 1), partition=P1)]))
    fleet.disown([P0])
    assert fleet.state_of("a") is None
    assert fleet.state_of("b") is not None


def test_open_alarms_are_counted_by_model_down_to_none(fleet: Fleet) -> None:
    assert fleet.open_alarms() == {}
    bad = [_reading(machine, second, 9.0) for machine in ("a", "b") for second in range(1, 5)]
    fleet.apply(fleet.judge([_message(0, *bad)]))
    assert fleet.open_alarms() == {"faultline-pump": 2}
    fleet.disown()
    assert fleet.open_alarms() == {"faultline-pump": 0}


def test_a_prediction_goes_on_from_the_live_window_and_leaves_it_as_it_was(fleet: Fleet) -> None:
    fleet.apply(fleet.judge([_message(0, _reading("a", 1))]))
    before = fleet.state_of("a")
    known, unknown = fleet.predict([_reading("a", 2), _reading("never-seen", 2)])
    assert known.verdict.status is Status.NORMAL
    assert unknown.verdict.status is Status.WARMING_UP
    assert fleet.state_of("a") is before


def test_predictions_come_in_the_order_of_the_readings(fleet: Fleet) -> None:
    readings = [_reading("b", 1), _reading("a", 1), _reading("b", 2), _reading("a", 2, 9.0)]
    judged = fleet.predict(readings)
    assert [answer.reading for answer in judged] == readings
    assert [answer.verdict.timestamp_ms for answer in judged] == [1_000, 1_000, 2_000, 2_000]
    assert judged[3].verdict.status is Status.FAILURE


# Snapshots -----------------------------------------------------------------------------------


def _live(fleet: Fleet, offset: int, *readings: Reading) -> LiveMachine:
    return fleet.judge([_message(offset, *readings)]).machines[P0]["a"]


def _stored(position: int, partition: int, live: LiveMachine) -> Message:
    value = encode_snapshot(partition, live)
    return Message(Partition("predictor.state", partition), position, b"a", value)


def test_a_machine_is_restored_with_its_state_and_offset(fleet: Fleet) -> None:
    live = _live(fleet, 5, _reading("a", 1), _reading("a", 2, 9.0))
    restored = restore(0, [_stored(0, 0, live)])["a"]
    assert restored.next_offset == 6
    assert encode_state(restored.state) == encode_state(live.state)


def test_of_several_snapshots_the_one_with_the_latest_reading_counts(fleet: Fleet) -> None:
    old, new = _live(fleet, 5, _reading("a", 1)), _live(fleet, 9, _reading("a", 7))
    assert restore(0, [_stored(0, 0, new), _stored(1, 0, old)])["a"].next_offset == 10


def test_a_snapshot_after_a_clock_was_ahead_counts_and_covers_what_came_before(
    fleet: Fleet,
) -> None:
    ahead = _live(fleet, 5, _reading("a", 10**6))
    after = LiveMachine(
        MachineState(late=LateRun(given_up_ms=ahead.state.latest_ms)), ahead.next_offset + 1
    )
    restored = restore(0, [_stored(0, 0, after), _stored(1, 0, ahead)])
    assert restored["a"].next_offset == after.next_offset
    assert restored["a"].reach == after.reach > ahead.reach


def test_the_snapshot_of_another_partition_does_not_count(fleet: Fleet) -> None:
    live = _live(fleet, 5, _reading("a", 1))
    assert restore(0, [_stored(0, 3, live)]) == {}


def test_a_snapshot_that_cannot_be_read_lets_its_machine_begin_anew() -> None:
    good = _stored(1, 0, LiveMachine(MachineState(), 4))
    broken = Message(good.partition, 0, b"b", b"\xc1")
    removed = Message(good.partition, 2, b"c", b"")
    assert list(restore(0, [broken, good, removed])) == ["a"]
