"""How the level of a slow sensor moves: with drift, during a fault, and when that is over."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector.tracking import Tracked, TrackingRule, track, unknown_levels

STEP_ROWS = 5
RULE = TrackingRule(STEP_ROWS, np.array([0.3, 0.0]))


def _tracked(
    sensor: NDArray[np.float64], before: Tracked | None = None, rows_before: int = 0
) -> Tracked:
    means = np.column_stack([sensor, np.zeros(len(sensor))])
    return track(
        RULE,
        unknown_levels(RULE.speed) if before is None else before.after,
        rows_before=rows_before,
        means=means,
        judged=np.ones(len(means), dtype=np.bool_),
        begins_anew=np.zeros(len(means), dtype=np.bool_),
    )


def _off(sensor: NDArray[np.float64]) -> NDArray[np.float64]:
    tracked = _tracked(sensor)
    off: NDArray[np.float64] = sensor - tracked.levels[tracked.level_of][:, 0]
    return off


def _steps(*parts: tuple[float, int]) -> NDArray[np.float64]:
    return np.concatenate([np.full(STEP_ROWS * steps, value) for value, steps in parts])


def test_a_repaired_sensor_is_well_at_the_next_step_however_long_the_fault_was_followed() -> None:
    off = _off(_steps((1.0, 4), (10.0, 20), (1.0, 4)))
    assert off[24 * STEP_ROWS - 1] < 9.0
    assert_array_equal(off[25 * STEP_ROWS :], 0.0)


def test_a_sensor_that_returns_to_another_level_than_it_came_from_is_still_off() -> None:
    off = _off(_steps((1.0, 4), (10.0, 20), (3.0, 4)))
    assert np.abs(off[25 * STEP_ROWS :]).min() > 0.5


def test_a_fault_that_the_level_has_caught_up_with_is_where_the_sensor_comes_from() -> None:
    off = _off(_steps((1.0, 4), (4.0, 40), (1.0, 4)))
    assert np.abs(off[44 * STEP_ROWS - 1]) < 0.1
    assert np.abs(off[-1]) > 1.0


def test_drift_as_slow_as_in_the_history_never_is_far_off() -> None:
    drifting = np.linspace(0.0, 30.0, 150 * STEP_ROWS)
    assert np.abs(_off(drifting)).max() < 1.2


def test_where_the_sensor_came_from_is_kept_from_call_to_call() -> None:
    sensor = _steps((1.0, 4), (10.0, 20), (1.0, 4))
    cut = 13 * STEP_ROWS + 2
    before = _tracked(sensor[:cut])
    after = _tracked(sensor[cut:], before, rows_before=cut)
    whole = _tracked(sensor)
    assert_array_equal(after.levels[after.level_of], whole.levels[whole.level_of][cut:])
