"""A detector that follows drift and takes lasting states for normal, row by row and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory, Scores, Window
from faultline.detector.adaptation import (
    NO_ADAPTATION,
    Adaptation,
    AdaptationRule,
    step_rows_for,
)
from faultline.detector.fit import FitConfig, fit

WINDOWED = FitConfig(window_rows=20)
Rows = NDArray[np.float64]
SENSORS = ("a", "b")
BOUNDARY = 4.0
STEP_MS = 1_000
STEP_ROWS = 5
FOLLOW_ROWS = 500
SETTLE_MS = 60_000
RULE = AdaptationRule(step_rows=STEP_ROWS, follow_rows=FOLLOW_ROWS, settle_ms=SETTLE_MS)


def detector(rule: AdaptationRule = RULE, **changes: object) -> Detector:
    plain = Detector(
        sensors=SENSORS,
        window_rows=1,
        max_gap_ms=10_000_000,
        centre=np.zeros(2),
        scale=np.ones(2),
        spread=np.ones(2),
        clusters=np.array([[0.0, 0.0], [0.0, 100.0]]),
        boundary=BOUNDARY,
        unknown_score=2.0,
        rule=rule,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def at(a: Rows | float, rows: int | None = None) -> Rows:
    """Rows on the first cluster but for the sensor a, in boundaries."""
    rows = len(np.atleast_1d(a)) if rows is None else rows
    values = np.zeros((rows, 2))
    values[:, 0] = BOUNDARY * np.asarray(a)
    return values


def score(judge: Detector, *parts: Rows) -> Scores:
    values = np.vstack(parts)
    times = STEP_MS * np.arange(len(values), dtype=np.int64)
    return judge.score(Window.empty(SENSORS), times, values)[0]


def bad(scores: Scores) -> NDArray[np.bool_]:
    return np.asarray(scores.score > 1)


def test_slow_drift_is_followed_and_does_not_alarm() -> None:
    drifting = at(np.linspace(0.0, 1.3, 13 * FOLLOW_ROWS))

    assert not bad(score(detector(), drifting)).any()
    assert bad(score(detector(NO_ADAPTATION), drifting)).any()


def test_drift_that_goes_on_is_found_half_a_boundary_later_than_without() -> None:
    places = np.linspace(0.0, 3.0, 30 * FOLLOW_ROWS)

    found = bad(score(detector(replace(RULE, settle_ms=0)), at(places)))

    assert places[found.argmax()] == pytest.approx(1.5, abs=0.01)
    assert found[found.argmax() :].all()


def test_drift_is_followed_with_the_time_constant_of_the_rule() -> None:
    scores = score(detector(), at(0.2, FOLLOW_ROWS))

    assert_allclose(scores.adaptation.offset[0], 0.2 * BOUNDARY * (1 - np.exp(-1)), rtol=0.01)


def test_only_every_so_many_rows_is_a_step() -> None:
    scores = score(detector(), at(0.2, 3 * STEP_ROWS))

    assert len(np.unique(scores.score)) == 3
    assert_array_equal(np.diff(scores.score[STEP_ROWS : 2 * STEP_ROWS]), 0.0)


def test_nothing_is_followed_during_an_alarm() -> None:
    judge = detector(replace(RULE, settle_ms=0))
    before = score(judge, at(0.2, FOLLOW_ROWS))

    after = score(judge, at(0.2, FOLLOW_ROWS), at(1.8, 2 * FOLLOW_ROWS))

    assert bad(after)[FOLLOW_ROWS:].all()
    assert_array_equal(after.adaptation.offset, before.adaptation.offset)


def test_drift_in_one_cluster_moves_the_others_too() -> None:
    other = at(0.5, 1)
    other[:, 1] = 100.0

    scores = score(detector(), at(0.5, 5 * FOLLOW_ROWS), other)

    assert scores.cluster[-1] == 1
    assert scores.score[-1] < 0.05


def test_what_is_expected_moves_with_the_drift() -> None:
    judge = detector()

    scores = score(judge, at(0.4, 8 * FOLLOW_ROWS))

    top = judge.explain(scores, len(scores) - 1)[0]
    assert top.expected == pytest.approx(0.4 * BOUNDARY, rel=0.01)


def test_drift_is_not_followed_when_that_is_off() -> None:
    scores = score(detector(replace(RULE, follow_rows=0)), at(0.5, 200))

    assert not scores.adaptation.offset.any()
    assert_array_equal(scores.score, 0.5)


def test_a_lasting_state_settles_after_the_time_of_the_rule_and_not_before() -> None:
    scores = score(detector(), at(0.0, 10), at(3.0, 100))

    settled_from = int(scores.settled.argmax())
    first_step = 10 + STEP_ROWS - 1
    assert settled_from == first_step + SETTLE_MS // STEP_MS + 1
    assert scores.settled[settled_from:].all()
    assert_array_equal(bad(scores)[10:settled_from], True)
    assert_allclose(scores.score[settled_from:], 0.0, atol=1e-12)


def test_a_lasting_state_settles_on_the_mean_of_what_it_was() -> None:
    noisy = at(3.0, 70) + np.random.default_rng(0).normal(scale=0.3, size=(70, 2))

    scores = score(detector(), noisy)

    assert scores.settled[-1]
    assert scores.adaptation.new_normal is not None
    assert_allclose(scores.adaptation.new_normal.places[0], [3.0 * BOUNDARY, 0.0], atol=0.3)


def test_a_state_that_keeps_moving_never_settles() -> None:
    wandering = score(detector(), at(np.linspace(3.0, 60.0, 500)))
    to_and_fro = score(detector(), *[at(place, STEP_ROWS) for place in [3.0, 6.0] * 50])

    for scores in (wandering, to_and_fro):
        assert bad(scores).all()
        assert not scores.settled.any()
        assert scores.adaptation.new_normal is None


def test_no_state_settles_when_that_is_forbidden() -> None:
    scores = score(detector(replace(RULE, settle_ms=0)), at(3.0, 500))

    assert bad(scores).all()
    assert scores.adaptation.proposed is None


def test_what_is_beyond_the_new_state_too_alarms() -> None:
    scores = score(detector(), at(3.0, 100), at(4.2, 20))

    assert bad(scores)[100:].all()
    assert not scores.settled[100:].any()
    assert_allclose(scores.score[100], 1.2)


def test_the_clusters_stay_normal_beside_the_new_state() -> None:
    scores = score(detector(), at(3.0, 100), at(0.0, STEP_ROWS - 1))

    assert not bad(scores)[100:].any()
    assert not scores.settled[100:].any()


def test_back_to_normal_forgets_it_and_the_same_state_alarms_again() -> None:
    scores = score(detector(), at(3.0, 100), at(0.0, STEP_ROWS), at(3.0, 100))

    again = slice(100 + STEP_ROWS, None)
    assert scores.settled[99]
    assert bad(scores)[again][:60].all()
    assert scores.settled[again].argmax() == STEP_ROWS + SETTLE_MS // STEP_MS


def test_a_return_before_it_settled_begins_the_time_anew() -> None:
    scores = score(detector(), at(3.0, 50), at(0.0, STEP_ROWS), at(3.0, 60))

    assert not scores.settled.any()


def test_what_drifts_away_from_the_new_state_is_found() -> None:
    drifting = np.linspace(3.0, 6.0, 60 * FOLLOW_ROWS)

    scores = score(detector(), at(3.0, 100), at(drifting))

    assert scores.settled[100 : 100 + 19 * FOLLOW_ROWS].all()
    assert bad(scores)[100 + 20 * FOLLOW_ROWS : 100 + 21 * FOLLOW_ROWS].any()


def test_a_silence_does_not_count_as_a_stable_time() -> None:
    judge = detector(max_gap_ms=2 * STEP_MS)
    times = STEP_MS * np.arange(60, dtype=np.int64)
    times[30:] += 100 * SETTLE_MS

    scores, _ = judge.score(Window.empty(SENSORS), times, at(3.0, 60))

    assert not scores.settled.any()


def test_silences_between_a_few_rows_do_not_add_up_to_a_stable_time() -> None:
    judge = detector(max_gap_ms=10 * STEP_MS)
    times = STEP_MS * np.arange(80, dtype=np.int64)
    for silent_before in (17, 34, 51):
        times[silent_before:] += 100 * SETTLE_MS
    watched_ms = STEP_MS * (np.arange(80) - np.searchsorted([17, 34, 51], np.arange(80), "right"))

    whole, _ = judge.score(Window.empty(SENSORS), times, at(3.0, 80))
    first, window = judge.score(Window.empty(SENSORS), times[:36], at(3.0, 36))
    rest, _ = judge.score(window, times[36:], at(3.0, 44), adaptation=first.adaptation)

    assert watched_ms[whole.settled.argmax()] >= SETTLE_MS
    assert whole.settled[-1]
    assert (np.concatenate([first.settled, rest.settled]) == whole.settled).all()


def test_a_sensor_that_is_missing_now_and_then_does_not_keep_a_state_from_settling() -> None:
    values = at(3.0, 200)
    values[::5, 1] = np.nan
    values[4::10, 1] = np.nan

    assert score(detector(), values).settled[-50:].all()


def test_an_alarm_does_not_blame_the_machine_for_a_value_that_is_still_in_its_window() -> None:
    history = np.random.default_rng(0).normal(size=(2_000, 2))
    found = fit(SENSORS, [MachineHistory("m", STEP_MS * np.arange(2_000), history)], WINDOWED)
    later = np.random.default_rng(1).normal(size=(200, 2))
    later[100, 0] = 1e6

    scores = score(found.detector, later)

    assert bad(scores)[100:120].all()
    assert scores.sensor_fault[100:120].all()
    assert not bad(scores)[120:].any()


def test_rows_that_repeat_to_the_last_digit_leave_a_boundary_that_scores_are_finite_by() -> None:
    values = np.column_stack([np.arange(2_000) % 10, np.arange(2_000) % 5]).astype(np.float64)
    found = fit(SENSORS, [MachineHistory("m", STEP_MS * np.arange(2_000), values)], FitConfig())

    scores = score(found.detector, values[:100], values[:100] + 1e3)

    assert np.isfinite(scores.score[20:]).all()
    assert scores.score[20:].max() < 1e15


def test_a_row_of_the_new_state_is_explained_from_there() -> None:
    judge = detector()
    scores = score(judge, at(3.0, 100), at(3.5, 1))

    top = judge.explain(scores, 100)[0]

    assert (top.sensor, top.direction) == ("a", "high")
    assert top.expected == pytest.approx(3.0 * BOUNDARY)


def test_a_lasting_state_is_found_of_a_machine_with_its_own_baseline_too() -> None:
    judge = detector(machines=("m",), baselines=np.array([[50.0, 0.0]]), between=np.ones(2))
    values = at(3.0, 100)
    values[:, 0] += 50.0
    times = STEP_MS * np.arange(100, dtype=np.int64)

    scores, _ = judge.score(Window.empty(SENSORS), times, values, machine_id="m")

    assert bad(scores)[:60].all()
    assert scores.settled[-1]
    assert judge.explain(scores, 99)[0].expected == pytest.approx(50 + 3.0 * BOUNDARY)


def test_a_detector_without_adaptation_learns_nothing_while_it_scores() -> None:
    scores = score(detector(NO_ADAPTATION), at(0.5, 50), at(3.0, 500))

    assert scores.adaptation.rows == 550
    assert not scores.adaptation.offset.any()
    assert scores.adaptation.new_normal is None
    assert scores.adaptation.proposed is None


def test_rows_that_cannot_be_judged_change_nothing() -> None:
    missing = np.full((200, 2), np.nan)

    scores = score(detector(), at(3.0, 100), missing)

    assert scores.adaptation.new_normal is not None
    assert_array_equal(scores.adaptation.offset, 0.0)


def test_steps_are_counted_over_the_calls() -> None:
    rule = AdaptationRule(step_rows=4, follow_rows=400, settle_ms=0)

    for cut in range(12):
        parts = [*rule.steps(0, cut), *(cut + at for at in rule.steps(cut, 12 - cut))]
        assert parts == [3, 7, 11]


@pytest.mark.parametrize("changes", [{"step_rows": 0}, {"follow_rows": -1}, {"settle_ms": -1}])
def test_a_rule_out_of_its_range_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"got.*{next(iter(changes.values()))}"):
        replace(RULE, **changes)


@pytest.mark.parametrize(("window", "history", "step"), [(10, 5_000, 100), (120, 1_000, 120)])
def test_a_step_is_a_fiftieth_of_the_history_but_no_shorter_than_a_window(
    window: int, history: int, step: int
) -> None:
    assert step_rows_for(window, history) == step


def test_a_machine_begins_where_it_was_learnt() -> None:
    start = Adaptation.start(3)

    assert (start.rows, start.new_normal, start.proposed) == (0, None, None)
    assert_array_equal(start.offset, np.zeros(3))
