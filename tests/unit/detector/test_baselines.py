from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from faultline.detector import MachineHistory, RowState, Scores, Window
from faultline.detector.fit import Fit, FitConfig, fit

Rows = NDArray[np.float64]
SENSORS = ("flow", "heat", "speed")
OFFSET = np.array([6.0, -9.0, 0.0])
"""How far the second machine is from the first: far more than either varies in a regime."""
QUICK = FitConfig(window_rows=1, k_max=3)


def times(rows: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(rows, dtype=np.int64)


def machine_rows(seed: int, rows: int = 1_000) -> Rows:
    """Two regimes of 50 rows each, the same on every machine."""
    values = np.random.default_rng(seed).normal(size=(rows, 3))
    values += (np.arange(rows) // 50 % 2)[:, np.newaxis] * [15.0, 20.0, -25.0]
    return values


def history(machine_id: str, seed: int, offset: Rows, rows: int = 1_000) -> MachineHistory:
    return MachineHistory(machine_id, times(rows), machine_rows(seed, rows) + offset)


@pytest.fixture(scope="module")
def two() -> Fit:
    return fit(SENSORS, [history("a", 1, 0 * OFFSET), history("b", 2, OFFSET)], QUICK)


def score(found: Fit, values: Rows, machine_id: str | None) -> Scores:
    detector = found.detector
    return detector.score(
        Window.empty(detector.sensors), times(len(values)), values, machine_id=machine_id
    )[0]


def bad_share(scores: Scores) -> float:
    return float((scores.score[scores.state == RowState.SCORED] > 1).mean())


def test_machines_that_differ_by_offsets_share_their_clusters(two: Fit) -> None:
    detector = two.detector

    assert two.k == 2
    assert detector.machines == ("a", "b")
    assert_allclose(
        (detector.baselines[1] - detector.baselines[0]) * detector.scale, OFFSET, atol=0.3
    )


@pytest.mark.parametrize(("machine_id", "offset"), [("a", 0 * OFFSET), ("b", OFFSET)])
def test_each_machine_is_scored_against_its_own_baseline(
    two: Fit, machine_id: str, offset: Rows
) -> None:
    scores = score(two, machine_rows(3) + offset, machine_id)

    assert scores.known_machine
    assert bad_share(scores) < 0.02


@pytest.mark.parametrize(("machine_id", "moved_to"), [("a", OFFSET), ("b", 0 * OFFSET)])
def test_a_machine_that_moves_to_its_siblings_normal_is_found(
    two: Fit, machine_id: str, moved_to: Rows
) -> None:
    values = machine_rows(3)
    values += moved_to

    assert bad_share(score(two, values, machine_id)) > 0.99


@pytest.mark.parametrize("between", [0.0, 0.3, 0.5, 1.0])
def test_a_new_machine_that_is_as_its_siblings_or_between_them_is_not_alarmed(
    two: Fit, between: float
) -> None:
    scores = score(two, machine_rows(3) + between * OFFSET, "c")

    assert not scores.known_machine
    assert bad_share(scores) < 0.02


def test_a_new_machine_far_from_all_siblings_is_alarmed(two: Fit) -> None:
    assert bad_share(score(two, machine_rows(3) - 5 * OFFSET, "c")) > 0.99


def test_a_new_machine_is_alarmed_where_the_siblings_do_not_differ(two: Fit) -> None:
    values = machine_rows(3)
    values[:, SENSORS.index("speed")] += 8.0

    assert bad_share(score(two, values, "c")) > 0.99


def test_a_fault_is_expected_from_the_machines_own_level(two: Fit) -> None:
    row = OFFSET.copy()
    row[SENSORS.index("speed")] += 8.0
    parts = two.detector.explain(score(two, row[np.newaxis], "b"), 0)
    by_sensor = {one.sensor: one for one in parts}

    assert (parts[0].sensor, parts[0].direction) == ("speed", "high")
    assert by_sensor["heat"].expected_low < OFFSET[1] < by_sensor["heat"].expected_high


def test_a_machine_with_too_little_history_is_treated_as_a_new_one() -> None:
    short = history("short", 3, OFFSET, rows=90)
    found = fit(SENSORS, [history("a", 1, 0 * OFFSET), history("b", 2, OFFSET), short], QUICK)

    assert found.detector.machines == ("a", "b")
    values = machine_rows(4)
    assert not score(found, values, "short").known_machine
    assert_array_equal(score(found, values, "short").score, score(found, values, "new").score)


def test_what_has_no_baseline_does_not_teach_what_is_normal() -> None:
    """A few rows far away would make a cluster of their own, and hide what moves there."""
    far = history("short", 3, 5 * OFFSET, rows=90)
    both = [history("a", 1, 0 * OFFSET), history("b", 2, OFFSET)]

    with_it, without = fit(SENSORS, [*both, far], QUICK), fit(SENSORS, both, QUICK)

    assert_allclose(with_it.detector.clusters, without.detector.clusters, rtol=1e-9)
    assert with_it.used_rows == without.used_rows


def test_with_one_machine_nothing_is_widened_for_another() -> None:
    found = fit(SENSORS, [history("a", 1, 0 * OFFSET)], QUICK)
    values = machine_rows(3)

    assert found.detector.machines == ("a",)
    assert not found.detector.between.any()
    assert_array_equal(score(found, values, "a").score, score(found, values, "new").score)


def test_a_new_machines_offset_has_the_variance_of_the_others_and_the_error_of_their_mean(
    two: Fit,
) -> None:
    detector = two.detector

    half = (detector.baselines[1] - detector.baselines[0]) / 2
    # Of two: twice the half squared, and half as much again for the centre found from two.
    assert_allclose(detector.between, 2 * half**2 * 1.5, rtol=1e-9)


def test_baselines_can_be_forbidden() -> None:
    both = [history("a", 1, 0 * OFFSET), history("b", 2, OFFSET)]
    found = fit(SENSORS, both, FitConfig(window_rows=1, k_max=5, machine_baselines=False))

    assert found.detector.machines == ()
    assert bad_share(score(found, machine_rows(3) + OFFSET, "a")) < 0.02
