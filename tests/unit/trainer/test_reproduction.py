"""A registered version is made again from what its run keeps."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from faultline.bundle import GoldenBatch, golden_batch, read_bundle, write_bundle
from faultline.detector import MachineHistory
from faultline.errors import InvalidBundle, NotFound
from faultline.labels import FaultLabel
from faultline.ports.jobs import JobState
from faultline.ports.stores import RecordBatch
from faultline.reproduction import Reproduction, compare_arrays, recall, reproduce

NAME = "faultline-pump"
START_MS = 1_795_000_000_000


def again(world: Any, version: str = "1") -> Reproduction:
    return reproduce(world.registry, NAME, version, world.database.fleet_store)


def file_of(world: Any, path: str, version: str = "1") -> bytes:
    run_id = world.registry.version(NAME, version).run_id
    return world.runs[run_id].files[path]


def put(world: Any, **contents: bytes) -> None:
    """Replace files of the first version's run, named with __ for a slash and _dot_ for a dot."""
    run_id = world.registry.version(NAME, "1").run_id
    logged = world.registry.port.runs[run_id]
    named = {
        path.replace("__", "/").replace("_dot_", "."): content for path, content in contents.items()
    }
    world.registry.port.runs[run_id] = replace(logged, files={**logged.files, **named})


def test_a_version_comes_out_the_same_bit_for_bit(world: Any) -> None:
    world.train(hyperparameters={"k_max": 4, "seed": 7})
    made = again(world)
    assert made.equal
    assert set(made.arrays) >= {"centre", "scale", "clusters"}
    assert made.environment == {}
    assert made.recipe.stored == "rows"


def test_missing_values_and_late_machines_come_out_the_same_too(make_world: Any) -> None:
    world = make_world()
    world.store_history(machines=3)
    values = np.random.default_rng(5).normal(size=(300, 3))
    values[::17, 1] = np.nan
    world.store_rows(values, "pump-9", start_ms=START_MS + 86_400_000)
    world.train()
    assert again(world).equal


def test_readings_that_came_later_change_nothing(world: Any) -> None:
    world.train()
    world.store_rows(np.random.default_rng(5).normal(size=(300, 3)), "pump-9")
    assert again(world).equal


def test_an_altered_bundle_is_not_equal(world: Any, tmp_path: Path) -> None:
    world.train()
    bundle = read_bundle(world.registry.download(NAME, "1", tmp_path / "good"))
    other = replace(bundle.detector, centre=np.add(bundle.detector.centre, [0.25, 0.0, 0.0]))
    random = np.random.default_rng(1)
    history = MachineHistory("x", 1000 * np.arange(60), random.normal([10, 50, 3], 1, (60, 3)))
    golden: GoldenBatch = golden_batch(other, history)
    write_bundle(
        tmp_path / "bad",
        other,
        golden,
        model_name=NAME,
        machine_type="pump",
        created_ms=1,
        reference=bundle.reference,
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "bad").iterdir()}
    put(
        world,
        **{f"model__{name.replace('.', '_dot_')}": content for name, content in files.items()},
    )
    made = again(world)
    assert not made.equal
    assert {name for name, one in made.arrays.items() if not one.equal} == {"centre"}
    assert made.arrays["centre"].largest_difference == pytest.approx(0.25)


def test_an_altered_snapshot_is_refused(world: Any) -> None:
    world.train()
    table = pq.read_table(io.BytesIO(file_of(world, "dataset/readings.parquet")))
    out = io.BytesIO()
    pq.write_table(table.slice(0, 300), out)
    put(world, dataset__readings_dot_parquet=out.getvalue())
    with pytest.raises(InvalidBundle, match="it was altered"):
        again(world)


def test_a_snapshot_that_is_no_parquet_is_refused(world: Any) -> None:
    world.train()
    put(world, dataset__readings_dot_parquet=b"no parquet")
    with pytest.raises(InvalidBundle, match="cannot be read as Parquet"):
        again(world)


def test_a_recipe_that_is_none_is_refused(world: Any) -> None:
    world.train()
    put(world, dataset__recipe_dot_json=b"{}")
    with pytest.raises(InvalidBundle, match=r"recipe\.json"):
        again(world)


def test_rows_too_many_to_keep_are_read_again_from_the_database(make_world: Any) -> None:
    world = make_world(trainer_snapshot_max_bytes=1000)
    world.store_history()
    world.train()
    run_id = world.registry.version(NAME, "1").run_id
    assert "dataset/readings.parquet" not in world.runs[run_id].files
    world.store_rows(np.full((9, 3), 9.0), "pump-1", start_ms=START_MS + 86_400_000)
    made = again(world)
    assert made.recipe.stored == "reference"
    assert made.equal


def test_rows_by_reference_leave_out_what_was_left_out_then(make_world: Any) -> None:
    world = make_world(trainer_snapshot_max_bytes=1000)
    world.store_history()
    label = FaultLabel(
        machine_id="pump-1", kind="leak", start_ms=START_MS + 50_000, end_ms=START_MS + 90_000
    )
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, labels=[label]), lambda _: None
    )
    world.train()
    made = again(world)
    assert made.equal
    assert made.recipe.machines == {"pump-1": 260, "pump-2": 300}


def test_rows_by_reference_that_have_changed_are_told(make_world: Any) -> None:
    world = make_world(trainer_snapshot_max_bytes=1000)
    world.store_history()
    world.train()
    world.store_rows(np.full((1, 3), 9.0), "pump-1", start_ms=START_MS + 500)
    with pytest.raises(NotFound, match="does not give the same any more"):
        again(world)


def test_more_rows_than_allowed_are_not_recalled(world: Any) -> None:
    world.train()
    version = world.registry.version(NAME, "1")
    with pytest.raises(InvalidBundle, match="has 600 rows, at most 599"):
        recall(world.registry, version, world.database.fleet_store, max_rows=599)


@pytest.mark.parametrize("by", ["number", "data version"])
def test_a_training_on_an_earlier_dataset_learns_from_its_rows_alone(world: Any, by: str) -> None:
    world.train()
    first = world.registry.version(NAME, "1").tags
    world.store_rows(np.random.default_rng(5).normal(size=(300, 3)), "pump-9")
    wanted = "1" if by == "number" else first["data_version"][:12]
    job = world.train(dataset_version=wanted)
    assert job.state is JobState.SUCCEEDED
    tags = world.registry.version(NAME, "2").tags
    assert (tags["data_version"], tags["rows"]) == (first["data_version"], "600")
    assert tags["dataset_version"] == wanted
    assert tags["semantic_version"] == "1.0.1"
    assert again(world, "2").equal


@pytest.mark.parametrize("wanted", ["9", "0" * 12])
def test_a_dataset_that_is_not_there_fails_the_job(world: Any, wanted: str) -> None:
    world.train()
    job = world.train(dataset_version=wanted)
    assert job.state is JobState.FAILED
    assert f"dataset version '{wanted}'" in str(job.error)


def test_arrays_of_which_one_side_has_none_are_not_equal() -> None:
    compared = compare_arrays({"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(1)})
    assert {name: one.equal for name, one in compared.items()} == {"a": True, "b": False}


def test_the_sign_of_zero_is_a_bit_too() -> None:
    assert not compare_arrays({"a": np.zeros(1)}, {"a": -np.zeros(1)})["a"].equal


def asked(world: Any, **request: Any) -> int:
    sent = {"machine_type": "pump", **request}
    return int(world.http.post("/api/v1/ml/models/train", json=sent).status_code)


def test_a_dataset_version_can_be_asked_for_over_http(world: Any) -> None:
    world.train()
    assert asked(world, dataset_version="1") == 202
    assert world.work()
    assert world.registry.version(NAME, "2").tags["dataset_version"] == "1"


@pytest.mark.parametrize("other", [{"end": START_MS}, {"machines": ["pump-1"]}])
def test_a_dataset_version_leaves_no_choice_of_rows(world: Any, other: dict[str, Any]) -> None:
    assert asked(world, dataset_version="1", **other) == 422


@pytest.mark.parametrize("wanted", ["", "latest", "../1", "abc", "A" * 12])
def test_what_names_no_dataset_is_refused(world: Any, wanted: str) -> None:
    assert asked(world, dataset_version=wanted) == 422
