from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory, RowState, UnfitHistory, Window
from faultline.detector.fit import Fit, FitConfig, fit

MakeRows = Callable[..., NDArray[np.float64]]
MakeHistory = Callable[..., MachineHistory]


def times(rows: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(rows, dtype=np.int64)


def alarms(fitted: Fit, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each scored row lies above the boundary."""
    detector = fitted.detector
    scores, _ = detector.score(Window.empty(detector.sensors), times(len(values)), values)
    return np.asarray(scores.score[scores.state == RowState.SCORED] > 1)


def test_the_window_is_the_load_cycle(fitted: Fit) -> None:
    assert (fitted.period_rows, fitted.detector.window_rows) == (40, 40)
    assert fitted.window_reason == "one load cycle of 40 rows"


def test_a_short_cycle_is_taken_several_times() -> None:
    rng = np.random.default_rng(0)
    values = np.tile([0.0, 0.0, 5.0, 9.0], 300)[:, np.newaxis] + rng.normal(size=(1_200, 2))

    found = fit(("a", "b"), [MachineHistory("m", times(1_200), values)])

    assert (found.period_rows, found.detector.window_rows) == (4, 12)


def test_values_that_alternate_are_not_called_a_load_cycle() -> None:
    rng = np.random.default_rng(0)
    values = np.tile([0.0, 9.0], 600)[:, np.newaxis] + rng.normal(size=(1_200, 2))

    found = fit(("a", "b"), [MachineHistory("m", times(1_200), values)])

    assert (found.period_rows, found.detector.window_rows) == (2, 10)
    assert found.window_reason == "the values repeat every 2 rows, 5 times in a window"


def test_the_window_is_the_default_when_nothing_repeats() -> None:
    values = np.random.default_rng(0).normal(size=(1_000, 3))

    found = fit(("a", "b", "c"), [MachineHistory("m", times(1_000), values)])

    assert (found.period_rows, found.detector.window_rows) == (None, 10)
    assert "no load cycle of up to 100 rows found" in found.window_reason


@pytest.mark.parametrize(("rows", "longest"), [(600, 60), (5_000, 120)])
def test_a_load_cycle_is_looked_for_no_longer_than_two_fit_into_every_held_out_stretch(
    rows: int, longest: int
) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 3))

    found = fit(("a", "b", "c"), [MachineHistory("m", times(rows), values)])

    assert f"no load cycle of up to {longest} rows found" in found.window_reason


def test_a_window_that_is_asked_for_is_taken(
    make_history: MakeHistory, sensors: tuple[str]
) -> None:
    found = fit(sensors, [make_history("m", 1)], FitConfig(window_rows=7))

    assert (found.detector.window_rows, found.window_reason) == (7, "7 rows, as asked for")


def test_a_gap_is_never_shorter_than_the_window(fitted: Fit) -> None:
    assert fitted.detector.max_gap_ms == 40_000


def test_healthy_pumps_stay_near_the_false_alarm_rate(fitted: Fit, make_rows: MakeRows) -> None:
    rates = [alarms(fitted, make_rows(seed, 3_000)).mean() for seed in range(10, 16)]

    assert np.mean(rates) < 0.01


@pytest.mark.parametrize(
    ("sensor", "by"), [("efficiency", -2.0), ("vibration", 0.2), ("current", 1.5)]
)
def test_a_fault_far_smaller_than_the_load_swing_is_found_and_named(
    fitted: Fit, make_rows: MakeRows, sensor: str, by: float
) -> None:
    values = make_rows(20, 400)
    values[:, fitted.detector.sensors.index(sensor)] += by
    detector = fitted.detector

    scores, _ = detector.score(Window.empty(detector.sensors), times(400), values)

    assert (scores.score[39:] > 1).mean() > 0.99
    assert detector.explain(scores, 200)[0].sensor == sensor
    assert detector.explain(scores, 200)[0].direction == ("high" if by > 0 else "low")


def test_a_warm_up_in_the_history_does_not_blind_the_detector(
    make_history: MakeHistory, make_rows: MakeRows, sensors: tuple[str, ...]
) -> None:
    history = make_history("m", 3, 3_000)
    history.values[:250, 4] -= np.linspace(12, 0, 250)
    found = fit(sensors, [history])
    leaking = make_rows(21, 400)
    leaking[:, 2] -= 2.0

    assert max(block.high_score for block in found.held_out_blocks) > 3
    assert alarms(found, leaking).mean() > 0.99


def test_a_higher_false_alarm_rate_gives_no_wider_boundary(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    history = [make_history("m", 1)]
    strict, loose = (
        fit(sensors, history, FitConfig(false_alarm_rate=rate)).detector.boundary
        for rate in (0.001, 0.1)
    )

    assert loose < strict


def test_the_boundary_is_calibrated_on_rows_that_were_not_learnt_from() -> None:
    """A regime seen in one block only: held out, it is far off; learnt from, it would be near."""
    values = np.random.default_rng(0).normal(size=(1_000, 2))
    values[800:] += 30

    found = fit(("a", "b"), [MachineHistory("m", times(1_000), values)])

    assert [block.high_score > 2 for block in found.held_out_blocks] == [False] * 4 + [True]


def test_the_silhouette_is_that_of_the_chosen_candidate() -> None:
    values = np.random.default_rng(0).normal(size=(3_000, 3))
    values += 20.0 * (np.arange(3_000) // 50 % 2)[:, np.newaxis]

    found = fit(
        ("a", "b", "c"), [MachineHistory("m", times(3_000), values)], FitConfig(window_rows=1)
    )

    chosen = next(candidate for candidate in found.candidates if candidate.k == found.k)
    assert found.k == 2
    assert found.silhouette == chosen.silhouette
    assert found.silhouette == max(c.silhouette for c in found.candidates if c.refusal is None)
    assert found.silhouette_rows == 2_000


def test_one_cluster_has_no_silhouette(make_history: MakeHistory, sensors: tuple[str, ...]) -> None:
    found = fit(sensors, [make_history("m", 1)], FitConfig(k_max=2, smallest_cluster_share=0.4999))

    assert found.k == 1
    assert np.isnan(found.silhouette)
    assert "k=2: its smallest cluster has" in found.k_reason


def test_the_same_histories_and_config_give_the_same_bits(
    fitted: Fit, make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    again = fit(sensors, [make_history(f"pump-{seed}", seed) for seed in (1, 2, 3)])

    assert again.detector.parameters() == fitted.detector.parameters()
    for name, array in again.detector.to_arrays().items():
        assert array.tobytes() == fitted.detector.to_arrays()[name].tobytes()


def test_profiles_describe_the_clusters_in_the_sensors_own_units(fitted: Fit) -> None:
    assert sum(profile.share for profile in fitted.profiles) == pytest.approx(1)
    assert all(55 < profile.means["efficiency"] < 65 for profile in fitted.profiles)


def test_a_timeline_has_a_score_for_every_window_but_those_over_the_edge_of_blocks(
    fitted: Fit,
) -> None:
    timeline = fitted.timelines[0]

    assert timeline.machine_id == "pump-1"
    assert len(timeline.timestamps_ms) == len(timeline.scores) == 1_500 - 39
    assert np.isnan(timeline.scores).sum() == 4 * 39


def test_sensors_that_cannot_be_learnt_from_are_left_out_by_name(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    pump = make_history("m", 1)
    odd = np.column_stack(
        (
            np.full(1_500, np.nan),
            np.full(1_500, 7.5),
            np.where(np.arange(1_500) % 5 == 0, np.random.default_rng(0).random(1_500), np.nan),
        )
    )
    history = replace(pump, values=np.hstack((pump.values, odd)))

    found = fit((*sensors, "silent", "fixed", "rare"), [history])

    assert found.detector.sensors == sensors
    assert found.left_out_sensors == {
        "silent": "all values are missing",
        "fixed": "constant: always 7.5",
        "rare": "missing in 80 % of the rows",
    }


def test_a_sensor_that_only_some_machines_have_is_used(
    make_history: MakeHistory, make_rows: MakeRows, sensors: tuple[str, ...]
) -> None:
    without = make_history("without", 2)
    without.values[:, 3] = np.nan
    found = fit(sensors, [make_history("with", 1), without])
    healthy = make_rows(11, 1_000)
    healthy[:, 3] = np.nan

    assert "vibration" in found.detector.sensors
    assert alarms(found, healthy).mean() < 0.02


def test_a_sensor_that_begins_late_in_the_history_can_be_held_out(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    history = make_history("m", 1)
    history.values[:700, 3] = np.nan

    found = fit(sensors, [history], FitConfig(held_out_blocks=2))

    assert np.isfinite(found.detector.boundary)


def test_one_wild_row_in_the_history_hides_no_fault(
    make_history: MakeHistory, make_rows: MakeRows, sensors: tuple[str, ...]
) -> None:
    history = make_history("m", 1, 5_000)
    history.values[2_500] = 1e100
    found = fit(sensors, [history])
    leaking = make_rows(21, 400)
    leaking[:, 2] -= 2.0

    assert alarms(found, leaking).mean() > 0.99


def test_infinite_values_in_the_history_count_as_missing(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    infinite, missing = make_history("m", 1), make_history("m", 1)
    infinite.values[::50, 0] = np.inf
    missing.values[::50, 0] = np.nan

    assert fit(sensors, [infinite]).detector.boundary == fit(sensors, [missing]).detector.boundary


def test_windows_across_a_gap_are_not_learnt_from(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    history = make_history("m", 1)
    history.timestamps_ms[750:] += 10_000_000

    assert fit(sensors, [history]).used_rows == 2 * (750 - 39)


def unfit(values: NDArray[np.float64]) -> list[MachineHistory]:
    return [MachineHistory("m", times(len(values)), values)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.empty((0, 2)), "no rows"),
        (np.ones((1, 2)) * [1, np.nan], "no sensor can be learnt from"),
        (np.ones((500, 2)), "constant: always 1"),
        (np.full((500, 2), np.nan), "all values are missing"),
        (np.random.default_rng(0).normal(size=(5, 2)), "no machine has the 10 rows"),
        (np.random.default_rng(0).normal(size=(60, 2)), "at least 100 are needed"),
    ],
    ids=["no rows", "one row", "constant", "missing", "less than a window", "too few"],
)
def test_history_that_cannot_be_learnt_from_is_refused_with_what_it_lacks(
    values: NDArray[np.float64], message: str
) -> None:
    with pytest.raises(UnfitHistory, match=message):
        fit(("a", "b"), unfit(values))


def test_no_histories_at_all_are_refused() -> None:
    with pytest.raises(UnfitHistory, match="no rows"):
        fit(("a",), [])


def test_a_history_too_short_to_hold_anything_out_is_refused() -> None:
    values = np.random.default_rng(0).normal(size=(300, 2))

    with pytest.raises(UnfitHistory, match="needs 400 of one machine to hold some out"):
        fit(("a", "b"), unfit(values), FitConfig(window_rows=100))


def test_machines_without_a_whole_window_each_are_refused() -> None:
    values = np.random.default_rng(0).normal(size=(2, 2))
    histories = [MachineHistory(f"m-{n}", times(2), values) for n in range(100)]

    with pytest.raises(UnfitHistory, match="the longest history has 2"):
        fit(("a", "b"), histories)


def test_repeated_sensor_names_are_refused() -> None:
    with pytest.raises(ValueError, match="repeated: a"):
        fit(("a", "a"), unfit(np.ones((3, 2))))


def test_a_history_with_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns for 3 sensors"):
        fit(("a", "b", "c"), unfit(np.ones((3, 2))))


WITHOUT_A_RANGE = {"slow_sensors", "machine_baselines", "shape"}


@pytest.mark.parametrize("name", sorted({f.name for f in fields(FitConfig)} - WITHOUT_A_RANGE))
def test_a_setting_out_of_its_range_is_named(name: str) -> None:
    out_of_range: dict[str, Any] = {name: -1}
    with pytest.raises(ValueError, match=name):
        FitConfig(**out_of_range)


def test_history_that_goes_back_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="row 2 is not later"):
        MachineHistory("m", np.array([1, 2, 2]), np.ones((3, 1)))


def test_history_with_a_timestamp_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="2 timestamps for 3 rows"):
        MachineHistory("m", np.array([1, 2]), np.ones((3, 1)))


@pytest.mark.parametrize(
    ("step_ms", "settle_s"),
    [
        # Its history of 400 s is no measure of what a person can have seen.
        (1_000, 3_600),
        (10_000, 2 * 3_990),
        (3_600_000, 3 * 86_400),
    ],
)
def test_a_new_normal_takes_an_hour_at_least_and_three_days_at_most(
    make_history: MakeHistory, sensors: tuple[str, ...], step_ms: int, settle_s: float
) -> None:
    history = make_history("m", 1, 400)
    times = history.timestamps_ms[0] + step_ms * np.arange(400)
    found = fit(sensors, [replace(history, timestamps_ms=times)])
    assert found.detector.rule.settle_ms == 1_000 * settle_s
