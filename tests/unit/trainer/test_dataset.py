from typing import Any

import numpy as np
import pytest

from faultline.detector import MachineHistory
from faultline.errors import UntrainableHistory
from faultline.labels import FaultLabel
from faultline.ports.jobs import TrainingRequest
from faultline.ports.stores import RecordBatch
from services.trainer.dataset import Dataset, data_version, read_dataset

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
        read(world, max_rows=10)


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
    assert (dataset.faulty_rows, dataset.faults) == (2, (label(2, 4),))


def test_a_fault_that_lasts_is_left_out_to_the_end(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.arange(6.0)[:, np.newaxis], "pump-1", ("flow",))
    with_labels(world, label(4, None))
    assert read(world).rows == 4


def test_a_label_outside_the_history_is_not_named(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    with_labels(world, label(100, 200))
    assert read(world).faults == ()


def test_history_that_is_nothing_but_faults_cannot_be_learnt_from(make_world: Any) -> None:
    world = make_world()
    world.store_rows(np.zeros((3, 1)), "pump-1", ("flow",))
    with_labels(world, label(0, None))
    with pytest.raises(UntrainableHistory, match="labelled as faults"):
        read(world)
