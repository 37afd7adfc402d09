"""What a training is asked to learn from, and when it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from faultline.ports.jobs import JobState, Period

NAME = "faultline-pump"
START_MS = 1_795_000_000_000


def failed(world: Any, **request: Any) -> str:
    job = world.train(**request)
    assert job.state is JobState.FAILED
    assert world.runs == {}
    assert world.registry.models() == []
    assert world.events() == []
    return str(job.error)


def test_a_machine_type_without_readings_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    assert "no readings of machine type 'pump'" in failed(make_world())


def test_too_few_rows_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_history(machines=1, rows=60)
    assert "at least 100 are needed" in failed(world)


def test_a_single_row_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_history(machines=1, rows=1)
    assert "send more history" in failed(world) or "constant" in failed(world)


def test_constant_sensors_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_rows(np.full((300, 3), 7.0))
    assert "flow: constant: always 7" in failed(world)


def test_values_that_are_all_missing_cannot_be_trained(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_rows(np.full((300, 3), np.nan))
    reason = failed(world)
    assert "all values are missing" in reason or "no readings" in reason


def test_a_machine_that_is_not_there_is_named(world: Any) -> None:
    assert "no readings of 'pump-9'" in failed(world, machines=("pump-1", "pump-9"))


def test_a_sensor_that_is_not_there_is_named(world: Any) -> None:
    reason = failed(world, sensors=("flow", "smell"))
    assert "'smell'" in reason
    assert "there are: flow" in reason


def test_a_time_range_without_readings_cannot_be_trained(world: Any) -> None:
    assert "no readings" in failed(world, end_ms=START_MS)


def test_more_history_from_the_start_that_was_asked_for_than_fits_is_refused(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(trainer_max_history_rows=1_000)
    world.store_history(machines=4, rows=300)
    assert "more than 1,000 readings" in failed(world, start_ms=START_MS)


def test_hyperparameters_of_another_release_fail_the_job(world: Any) -> None:
    assert "hyperparameters: unknown: depth" in failed(world, hyperparameters={"depth": 3})


def test_hyperparameters_are_used(world: Any, tmp_path: Path) -> None:
    world.train(hyperparameters={"window_rows": 7, "k_max": 4})
    assert world.bundle(tmp_path).detector.window_rows == 7
    assert world.runs.popitem()[1].run.params["fit_k_max"] == "4"


def test_the_distance_and_slow_sensors_can_be_asked_for_and_are_told(
    world: Any, tmp_path: Path
) -> None:
    world.train(hyperparameters={"distance": "covariance", "slow_sensors": ["heat"], "k_max": 3})
    assert world.bundle(tmp_path).detector.distance == "covariance"
    version, run = world.registry.version(NAME, "1"), world.runs.popitem()[1].run
    assert run.params["distance"] == "covariance"
    assert run.params["slow_sensors"].startswith("heat (")
    assert "not by how they drift: heat (" in version.description


def test_a_run_without_slow_sensors_says_so(world: Any) -> None:
    world.train()
    assert world.runs.popitem()[1].run.params["slow_sensors"] == "none"


def test_machines_have_baselines_of_their_own_unless_it_is_forbidden(
    world: Any, tmp_path: Path
) -> None:
    world.train()
    world.train(hyperparameters={"machine_baselines": False, "k_max": 3})
    own, common = (world.bundle(tmp_path, version).detector for version in "12")
    assert (own.machines, common.machines) == (("pump-1", "pump-2"), ())
    params = [one.run.params["machines_with_a_baseline"] for one in world.runs.values()]
    assert params == ["pump-1, pump-2", "none"]


def test_following_drift_and_settling_can_be_forbidden(world: Any, tmp_path: Path) -> None:
    world.train(hyperparameters={"settle_after_s": 90, "k_max": 3})
    world.train(hyperparameters={"settle_after_s": 0, "drift": "off", "k_max": 3})
    some, none = (world.bundle(tmp_path, version).detector.rule for version in "12")
    assert (some.settle_ms, some.active) == (90_000, True)
    assert (none.settle_ms, none.active) == (0, False)


def test_only_what_was_asked_for_is_learnt_from(world: Any, tmp_path: Path) -> None:
    world.train(
        machines=("pump-2",),
        sensors=("heat", "flow"),
        end_ms=START_MS + 250_000,
        excluded=(Period(START_MS + 100_000, START_MS + 120_000),),
    )
    logged = world.runs.popitem()[1]
    dataset = msgspec.json.decode(logged.files["dataset.json"])
    assert [(one["machine_id"], one["rows"]) for one in dataset["machines"]] == [("pump-2", 230)]
    assert world.bundle(tmp_path).detector.sensors == ("flow", "heat")
    tags = logged.run.tags
    assert tags["training_excluded"].startswith("2026-11-18T11:08:20.000Z to ")
    assert tags["left_out"] == "excluded by the request: 1"
