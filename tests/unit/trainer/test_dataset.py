from typing import Any

import numpy as np
import pytest

from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.data_version import data_version
from faultline.detector import MachineHistory
from faultline.errors import UntrainableHistory
from faultline.labels import FaultLabel
from faultline.left_out import Cause
from faultline.ports.jobs import Period, TrainingRequest
from faultline.ports.stores import RecordBatch
from services.trainer.dataset import Dataset, read_dataset

START_MS = 1_795_000_000_000


def read(world: Any, max_rows: int = 10_000, **request: Any) -> Dataset:
    asked = TrainingRequest(**{"machine_type": "pump", **request})
    return read_dataset(world.database.fleet_store(), asked, max_rows)


def a_history(values: list[list[float]], machine_id: str = "pump-1") -> MachineHistory:
    return MachineHistory(
        machine_id, np.arange(len(values), dtype=np.int64), np.array(values, dtype=np.float64)
    )


def test_every_machine_has_the_same_columns(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.array([[1.0, 2.0]]), "pump-1", ("flow", "heat"))
    world.store_rows(np.array([[3.0, 4.0]]), "pump-2", ("load", "flow"))
    dataset = read(world)
    assert dataset.sensors == ("flow", "heat", "load")
    np.testing.assert_array_equal(dataset.histories[0].values, [[1.0, 2.0, np.nan]])
    np.testing.assert_array_equal(dataset.histories[1].values, [[4.0, np.nan, 3.0]])


def test_rows_and_times_are_those_of_all_machines(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    world.store_rows(np.zeros((2, 1)), "pump-2", ("flow",), start_ms=START_MS + 60_000)
    dataset = read(world)
    assert dataset.rows == 5
    assert (dataset.start_ms, dataset.end_ms) == (START_MS, START_MS + 61_000)


def test_other_machine_types_are_left_out(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    world.store_rows(np.zeros((3, 1)), "fan-1", ("flow",), machine_type="fan")
    assert [one.machine_id for one in read(world).histories] == ["pump-1"]


def test_a_machine_without_readings_in_the_range_is_asked_back_about(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    with pytest.raises(UntrainableHistory, match="'pump-2'"):
        read(world, machines=("pump-1", "pump-2"))


def test_more_rows_than_allowed_are_not_read(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((11, 1)), "pump-1", ("flow",))
    with pytest.raises(UntrainableHistory, match="more than 10 readings"):
        read(world, max_rows=10, start_ms=START_MS)


def test_machines_with_too_many_sensors_together_are_not_read(make_world: Any) -> None:
    world = make_world()
    for machine in range(5):
        names = tuple(f"{machine}-{number}" for number in range(1_000))
        world.store_rows(np.zeros((1, 1_000)), f"pump-{machine}", names)
    with pytest.raises(UntrainableHistory, match="more than 4096 different sensors"):
        read(world)


def test_the_same_rows_have_the_same_version(make_world: Any) -> None:
    one, other = make_world(), make_world()
    for world in (one, other):
        world.store_history()
    assert read(one).data_version == read(other).data_version


def test_a_data_version_stays_the_same_between_releases() -> None:
    history = a_history([[1.5, float("nan")], [2.5, -1.0]])
    assert data_version(("flow", "heat"), [history]) == (
        "ce7c2e214d2565cfa2639dc2ff6a11fde04a86bf7d967941dd2e1224e4137fab"
    )


def test_every_way_of_writing_a_missing_value_is_the_same() -> None:
    other_nan = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", dtype="<f8")[0]
    one = a_history([[1.0], [float("nan")]])
    other = a_history([[1.0], [other_nan]])
    assert data_version(("flow",), [one]) == data_version(("flow",), [other])


@pytest.mark.parametrize(
    ("sensors", "history"),
    [
        (("heat",), a_history([[1.0], [2.0]])),
        (("flow",), a_history([[1.0], [2.0000001]])),
        (("flow",), a_history([[1.0]])),
        (("flow",), a_history([[1.0], [2.0]], "pump-2")),
        (("flow",), a_history([[1.0], [float("nan")]])),
    ],
)
def test_other_rows_have_another_version(sensors: tuple[str, ...], history: MachineHistory) -> None:
    usual = data_version(("flow",), [a_history([[1.0], [2.0]])])
    assert data_version(sensors, [history]) != usual


def label(start_s: int, end_s: int | None, machine_id: str = "pump-1") -> FaultLabel:
    return FaultLabel(
        machine_id=machine_id,
        kind="leak",
        start_ms=START_MS + 1000 * start_s,
        end_ms=None if end_s is None else START_MS + 1000 * end_s,
    )


def with_labels(world: Any, *labels: FaultLabel) -> None:
    batch = RecordBatch(offsets={}, labels=labels)
    world.database.record_store().record("test", batch, lambda _: None)


def test_readings_labelled_as_a_fault_are_left_out_of_their_machine_alone(make_world: Any) -> None:
    world = make_world()
    values = np.arange(6.0)[:, np.newaxis]
    world.store_rows(values, "pump-1", ("flow",))
    world.store_rows(values, "pump-2", ("flow",))
    with_labels(world, label(2, 4))
    dataset = read(world)
    np.testing.assert_array_equal(dataset.histories[0].values[:, 0], [0.0, 1.0, 4.0, 5.0])
    np.testing.assert_array_equal(dataset.histories[1].values[:, 0], np.arange(6.0))
    [left_out] = dataset.left_out
    assert (left_out.cause, left_out.what, left_out.machine_id) == (
        Cause.FAULT_LABEL,
        "leak",
        "pump-1",
    )
    assert (left_out.start_ms, left_out.end_ms) == (START_MS + 2_000, START_MS + 4_000)
    assert left_out.readings == dataset.left_out_rows == 2


def test_a_fault_that_lasts_is_left_out_to_the_end(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    with_labels(world, label(4, None))
    assert read(world).rows == 4


def test_a_label_outside_the_history_is_not_named(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    with_labels(world, label(100, 200))
    assert read(world).left_out == ()


def test_history_that_is_nothing_but_faults_cannot_be_learnt_from(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    with_labels(world, label(0, None))
    with pytest.raises(UntrainableHistory, match=r"left out \(fault label\)"):
        read(world)


def an_alarm(began_s: int, state: AlarmState, machine_id: str = "pump-1") -> AlarmEvent:
    at_ms = START_MS + 1000 * began_s
    alarm = Alarm(
        alarm_id=f"{machine_id}-{began_s}",
        machine_id=machine_id,
        machine_type="pump",
        state=state,
        began_at_ms=at_ms,
        opened_at_ms=at_ms + 1000,
        updated_at_ms=at_ms + 1000,
        peak_score=3.0,
        peak_at_ms=at_ms,
        top_sensors=(),
        bad_readings=2,
        model_name="faultline-pump",
        model_version="1",
        closed_at_ms=at_ms + 2000 if state is AlarmState.CLOSED else None,
    )
    return AlarmEvent(event_id=alarm.alarm_id, kind=AlarmEventKind.OPENED, alarm=alarm)


def with_alarms(world: Any, *events: AlarmEvent) -> None:
    batch = RecordBatch(offsets={}, alarm_events=events)
    world.database.record_store().record("test", batch, lambda _: None)


def test_what_came_since_an_open_alarm_began_is_left_out(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-2", ("flow",))
    with_alarms(world, an_alarm(3, AlarmState.OPEN))
    dataset = read(world)
    assert [len(one.timestamps_ms) for one in dataset.histories] == [3, 6]
    [left_out] = dataset.left_out
    assert (left_out.cause, left_out.what, left_out.end_ms) == (Cause.OPEN_ALARM, "pump-1-3", None)


def test_a_closed_alarm_that_nobody_confirmed_is_learnt_from(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    with_alarms(world, an_alarm(1, AlarmState.CLOSED))
    dataset = read(world)
    assert (dataset.rows, dataset.left_out) == (6, ())


def test_readings_in_two_periods_are_left_out_once(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    with_labels(world, label(2, 5))
    with_alarms(world, an_alarm(4, AlarmState.OPEN))
    dataset = read(world)
    assert dataset.rows == 2
    assert dataset.left_out_rows == 4
    assert [one.readings for one in dataset.left_out] == [3, 2]


def test_what_the_request_excludes_is_named_too(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    dataset = read(world, excluded=(Period(START_MS, START_MS + 2_000),))
    assert dataset.rows == 4
    [left_out] = dataset.left_out
    assert (left_out.cause, left_out.machine_id, left_out.readings) == (Cause.EXCLUDED, None, None)


def test_the_usual_step_is_that_of_most_readings(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((5, 1)), "pump-1", ("flow",))
    world.store_rows(np.zeros((5, 1)), "pump-1", ("flow",), start_ms=START_MS + 3_600_000)
    assert read(world).step_ms == 1_000
