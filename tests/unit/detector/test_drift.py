from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from faultline.detector import MachineHistory, RowState, Scores, Window
from faultline.detector.drift import (
    held_out_deviation,
    short_term_deviation,
    slow_sensors,
)
from faultline.detector.fit import Fit, FitConfig, fit

Rows = NDArray[np.float64]
SENSORS = ("flow", "heat", "room")
ROWS = 1_500
QUICK = FitConfig(window_rows=10, k_max=3)


def times(rows: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(rows, dtype=np.int64)


def still(seed: int, rows: int = ROWS) -> Rows:
    return np.random.default_rng(seed).normal(size=(rows, 3))


def weather(rows: int = ROWS) -> Rows:
    """Up and down once in a history: far in an hour, hardly at all from one row to the next."""
    slow: Rows = 8.0 * np.sin(2 * np.pi * np.arange(rows) / ROWS)
    return slow


def fitted(values: Rows, config: FitConfig = QUICK) -> Fit:
    return fit(SENSORS, [MachineHistory("m", times(len(values)), values)], config)


def scored(found: Fit, values: Rows) -> Scores:
    window = Window.empty(found.detector.sensors)
    return found.detector.score(window, times(len(values)), values)[0]


def bad_share(found: Fit, values: Rows) -> float:
    scores = scored(found, values)
    return float((scores.score[scores.state == RowState.SCORED] > 1).mean())


def test_a_sensor_that_drifts_is_found_and_the_others_are_not() -> None:
    values = still(0)
    values[:, 2] += weather()

    found = fitted(values)

    assert set(found.slow_sensors) == {"room"}
    assert found.slow_sensors["room"].startswith("drifts: from one stretch of the history")


@pytest.mark.parametrize("seed", range(4))
def test_white_noise_does_not_drift(seed: int) -> None:
    assert fitted(still(seed)).slow_sensors == {}


def test_sensors_that_switch_between_regimes_do_not_drift() -> None:
    values = still(0)
    values[:, 1:] += 30.0 * (np.arange(ROWS) // 60 % 2)[:, np.newaxis]

    found = fitted(values, FitConfig(window_rows=1, k_max=3))

    assert found.k == 2
    assert found.slow_sensors == {}


def test_one_bad_block_does_not_make_a_sensor_slow() -> None:
    values = still(0)
    values[: ROWS // 5, 2] += np.linspace(-12.0, 0.0, ROWS // 5)

    assert fitted(values).slow_sensors == {}


def test_a_warm_up_in_the_first_fifth_does_not_hide_an_offset_later() -> None:
    history, later = still(0), still(1, 600)
    history[: ROWS // 5, 2] += np.linspace(-12.0, 0.0, ROWS // 5)
    found = fitted(history)
    later[:, 2] -= 4.0

    assert bad_share(found, still(2, 600)) < 0.02
    assert bad_share(found, later) > 0.99


def test_weather_that_never_was_so_far_off_does_not_alarm() -> None:
    values, later = still(0), still(1)
    values[:, 2] += weather()
    later[:, 2] += np.roll(weather(), 400) + 15.0

    assert bad_share(fitted(values), later) < 0.01


def test_a_slow_sensor_that_jumps_alarms() -> None:
    values, later = still(0), still(1)
    values[:, 2] += weather()
    later[:, 2] += np.roll(weather(), 400)
    later[700:, 2] += 15.0
    found = fitted(values)

    scores = scored(found, later).score
    assert (scores[:700] > 1).mean() < 0.01
    assert (scores[700:730] > 1).mean() > 0.5
    assert found.detector.explain(scored(found, later), 710)[0].sensor == "room"


def test_a_fault_of_another_sensor_is_found_in_any_weather() -> None:
    values, later = still(0), still(1)
    values[:, 2] += weather()
    later[:, 2] += np.roll(weather(), 400)
    later[:, 1] += 4.0
    found = fitted(values)

    assert bad_share(found, later) > 0.99


def test_a_sensor_that_is_declared_slow_is_so_whatever_it_does() -> None:
    declared = fitted(still(0), FitConfig(window_rows=10, k_max=3, slow_sensors=("heat", "gone")))
    plain = fitted(still(0))

    assert declared.slow_sensors == {"heat": "declared slow"}
    assert plain.slow_sensors == {}
    later = still(1)
    later[:, 1] += np.linspace(0.0, 9.0, ROWS)
    assert bad_share(declared, later) < 0.02 < 0.5 < bad_share(plain, later)


def test_without_drift_only_what_is_declared_is_slow() -> None:
    values = still(0)
    values[:, 2] += weather()

    found = fitted(values, FitConfig(window_rows=10, k_max=3, drift="off", slow_sensors=("flow",)))

    assert found.slow_sensors == {"flow": "declared slow"}
    assert found.detector.rule.follow_rows == 0


def test_the_held_out_deviation_of_noise_is_found_without_its_worst_block() -> None:
    deviation = np.random.default_rng(0).normal(size=(5_000, 2)) * [1.0, 3.0]
    blocks = np.split(np.arange(5_000), 5)
    spoilt = deviation.copy()
    spoilt[blocks[2]] += 1e6

    assert_allclose(held_out_deviation(spoilt, blocks), [1.37, 3 * 1.37], rtol=0.05)


def test_a_constant_deviation_of_every_block_is_that_deviation() -> None:
    deviation = np.full((40, 1), 2.0)

    assert_allclose(held_out_deviation(deviation, np.split(np.arange(40), 4)), [2.0])


def test_blocks_in_which_a_sensor_is_missing_do_not_count_for_it() -> None:
    deviation = np.array([[1.0, np.nan], [1.0, np.nan], [1.0, np.nan], [3.0, np.nan]])
    deviation[:3, 0] = np.nan

    assert_allclose(held_out_deviation(deviation, np.split(np.arange(4), 4)), [3.0, 0.0])


def test_the_short_term_deviation_of_noise_is_its_standard_deviation_whatever_it_rides_on() -> None:
    noise = np.random.default_rng(0).normal(size=(20_000, 1))
    row = np.arange(20_000)
    machine = np.zeros(20_000, dtype=np.int64)

    slow = 50 * np.sin(2 * np.pi * row / 20_000)[:, np.newaxis]

    assert_allclose(short_term_deviation(noise + slow, machine, row, 1), [1.0], rtol=0.05)


def test_windows_that_do_not_touch_are_not_compared() -> None:
    means = np.array([[0.0], [1.0], [100.0], [101.0], [500.0], [501.0]])
    machine, row = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 50, 51, 52, 53])

    assert_allclose(short_term_deviation(means, machine, row, 1), [np.sqrt(0.5)])


def test_a_sensor_is_slow_above_three_times_its_short_term_changes() -> None:
    short = np.full(3, 2.0)

    assert slow_sensors(np.array([5.9, 6.1, 1.0]), short).tolist() == [False, True, False]
