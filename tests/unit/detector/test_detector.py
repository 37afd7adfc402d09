from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector import Detector, RowState, Scores, Window
from faultline.detector.fit import Fit

WINDOW_ROWS = 4
SENSORS = ("a", "b", "c")


def detector(**changes: object) -> Detector:
    plain = Detector(
        sensors=SENSORS,
        window_rows=WINDOW_ROWS,
        max_gap_ms=10_000,
        centre=np.array([10.0, -5.0, 0.0]),
        scale=np.array([1.0, 2.0, 0.5]),
        spread=np.array([2.0, 2.0, 2.0]),
        clusters=np.array([[0.0, 0.0, 0.0], [6.0, 6.0, 6.0]]),
        boundary=3.0,
        unknown_score=2.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def times(rows: int, start: int = 0) -> NDArray[np.int64]:
    return 1_000 * np.arange(start, start + rows, dtype=np.int64)


def score_all(judge: Detector, values: NDArray[np.float64]) -> Scores:
    return judge.score(Window.empty(judge.sensors), times(len(values)), values)[0]


def steady(rows: int, **moved: float) -> NDArray[np.float64]:
    """Rows on the first cluster, with the named sensors moved by so much."""
    values = np.tile(detector().centre, (rows, 1))
    for name, by in moved.items():
        values[:, SENSORS.index(name)] += by
    return values


value = st.one_of(
    st.just(np.nan),
    st.floats(-50, 50),
    st.sampled_from([1e100, -1e100, 1e-100]),
)


@st.composite
def stream(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64], list[int]]:
    """Time-ordered rows with holes, gaps and wild values, and where to cut them."""
    rows = draw(st.integers(1, 30))
    steps = draw(st.lists(st.sampled_from([1_000, 3_000, 30_000]), min_size=rows, max_size=rows))
    cells = draw(st.lists(value, min_size=3 * rows, max_size=3 * rows))
    cuts = draw(st.lists(st.integers(0, rows), max_size=5))
    return np.cumsum(np.array(steps)), np.array(cells).reshape(rows, 3), sorted(cuts)


@settings(max_examples=200, deadline=None)
@given(stream())
def test_rows_score_the_same_however_they_are_cut(
    case: tuple[NDArray[np.int64], NDArray[np.float64], list[int]],
) -> None:
    timestamps, values, cuts = case
    judge = detector()
    whole, window_after_whole = judge.score(Window.empty(SENSORS), timestamps, values)

    window = Window.empty(SENSORS)
    parts = []
    for start, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        part, window = judge.score(window, timestamps[start:end], values[start:end])
        parts.append(part)

    for name in ("state", "score", "cluster", "known"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(joined, getattr(whole, name), err_msg=name)
    assert_array_equal(window.values, window_after_whole.values)


def test_single_rows_score_as_one_batch_does_on_a_load_cycle(fitted: Fit, make_rows: type) -> None:
    judge = fitted.detector
    values = np.asarray(make_rows(9, 300))
    whole = score_all(judge, values)

    window, adaptation = Window.empty(judge.sensors), None
    single = []
    for row in range(len(values)):
        scores, window = judge.score(
            window, times(1, row), values[row : row + 1], adaptation=adaptation
        )
        adaptation = scores.adaptation
        single.append(scores.score[0])

    assert_array_equal(np.array(single), whole.score)


@settings(max_examples=50, deadline=None)
@given(
    st.permutations([0, 1, 2]),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_neither_a_sensors_unit_nor_the_sensors_order_changes_a_score(
    order: list[int], factors: list[float], seed: int
) -> None:
    judge = detector()
    values = steady(10) + np.random.default_rng(seed).normal(scale=20, size=(10, 3))
    factor = np.array(factors)
    other = detector(
        sensors=tuple(SENSORS[i] for i in order),
        centre=(judge.centre * factor)[order],
        scale=(judge.scale * factor)[order],
        spread=(judge.spread * factor)[order],
        clusters=judge.clusters[:, order],
    )

    np.testing.assert_allclose(
        score_all(other, (values * factor)[:, order]).score,
        score_all(judge, values).score,
        rtol=1e-9,
        atol=1e-12,
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(value, min_size=12, max_size=12))
def test_contributions_are_not_negative_and_sum_to_one(cells: list[float]) -> None:
    judge = detector()
    scores = score_all(judge, np.array(cells).reshape(4, 3))
    if scores.state[3] != RowState.SCORED:
        return

    shares = [part.share for part in judge.explain(scores, 3)]

    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(value, min_size=30, max_size=30))
def test_wild_values_leave_every_score_finite(cells: list[float]) -> None:
    scores = score_all(detector(), np.array(cells).reshape(10, 3))

    assert np.isfinite(scores.score[scores.state == RowState.SCORED]).all()


@given(st.floats(20, 1e100), st.floats(1, 1e6))
def test_a_row_beyond_all_clusters_scores_no_less_when_pushed_further(
    out: float, further: float
) -> None:
    near = score_all(detector(), steady(4, a=out)).score[3]
    far = score_all(detector(), steady(4, a=min(out * further, 1e100))).score[3]

    assert far >= near


def test_the_boundary_scores_one() -> None:
    assert score_all(detector(), steady(4, a=-3.0)).score[3] == pytest.approx(1.0)


def test_a_machine_warms_up_until_its_window_is_full() -> None:
    state = score_all(detector(), steady(6)).state

    assert state.tolist() == [RowState.WARMING_UP] * 3 + [RowState.SCORED] * 3


def test_a_row_without_a_score_has_neither_score_nor_cluster() -> None:
    scores = score_all(detector(), steady(1))

    assert np.isnan(scores.score[0])
    assert scores.cluster[0] == -1
    assert not scores.known[0]


def test_a_gap_starts_the_window_anew() -> None:
    timestamps = times(12)
    timestamps[6:] += 60_000

    scores, _ = detector().score(Window.empty(SENSORS), timestamps, steady(12))

    assert (scores.state == RowState.WARMING_UP).tolist() == [True] * 3 + [False] * 3 + [
        True
    ] * 3 + [False] * 3


def test_a_gap_between_two_calls_starts_the_window_anew() -> None:
    judge = detector()
    _, window = judge.score(Window.empty(SENSORS), times(8), steady(8))

    scores, _ = judge.score(window, times(2, start=100), steady(2))

    assert (scores.state == RowState.WARMING_UP).all()


def test_a_silence_as_long_as_the_limit_is_no_gap() -> None:
    judge = detector()
    _, window = judge.score(Window.empty(SENSORS), times(8), steady(8))

    scores, _ = judge.score(window, times(1, start=17), steady(1))

    assert scores.state[0] == RowState.SCORED


def test_a_missing_sensor_is_left_out_of_the_distance_and_the_rest_scaled_up() -> None:
    values = steady(4, a=-3.0)
    values[:, 2] = np.nan

    assert score_all(detector(), values).score[3] == pytest.approx(np.sqrt(3 / 2))


def test_a_missing_sensor_has_no_contribution() -> None:
    judge = detector()
    values = steady(4, a=-3.0)
    values[:, 2] = np.nan

    assert {part.sensor for part in judge.explain(score_all(judge, values), 3)} == {"a", "b"}


def test_missing_values_are_marked_per_row_and_sensor() -> None:
    values = steady(2)
    values[1, 0] = np.nan

    assert score_all(detector(), values).health.missing.tolist() == [
        [False, False, False],
        [True, False, False],
    ]


def test_fewer_than_half_of_the_sensors_are_insufficient() -> None:
    values = steady(4)
    values[:, :2] = np.nan

    assert score_all(detector(), values).state[3] == RowState.INSUFFICIENT


def test_a_missing_phase_of_the_cycle_does_not_alarm() -> None:
    """Half a swing is cut out of every cycle: the plain mean of the rest would be far off."""
    swing = np.tile([4.0, -4.0, 4.0, -4.0], 5)
    values = steady(20)
    values[:, 0] += swing
    values[3::4, 0] = np.nan
    judge = detector(spread=np.array([4.0, 2.0, 2.0]), scale=np.array([0.1, 2.0, 0.5]))

    scores = score_all(judge, values)

    assert np.nanmax(scores.score) < 1.5
    assert np.nanmax(score_all(replace(judge, spread=np.zeros(3)), values).score) > 3


def test_observed_and_expected_are_in_the_sensors_own_units() -> None:
    judge = detector()

    top = judge.explain(score_all(judge, steady(4, b=-8.0)), 3)[0]

    assert (top.sensor, top.share, top.observed, top.expected, top.direction) == (
        "b",
        1.0,
        -13.0,
        -5.0,
        "low",
    )


def test_a_row_on_a_cluster_is_explained_by_equal_shares() -> None:
    judge = detector()

    shares = [part.share for part in judge.explain(score_all(judge, steady(4)), 3)]

    assert shares == pytest.approx([1 / 3] * 3)


def test_rows_explained_at_once_are_explained_as_each_alone() -> None:
    judge = detector()
    values = np.random.default_rng(0).normal(scale=9.0, size=(60, 3))
    values[10:20, 1] = np.nan
    scores = score_all(judge, values)
    rows = np.flatnonzero(scores.state == RowState.SCORED)

    alone = [judge.explain(scores, row) for row in rows.tolist()]

    assert {len(parts) for parts in alone} == {2, 3}
    assert judge.explain_rows(scores, rows) == alone
    assert judge.explain_rows(scores, rows, limit=1) == [parts[:1] for parts in alone]
    assert judge.explain_rows(scores, rows[:0]) == []


def test_a_row_without_a_score_cannot_be_explained() -> None:
    judge = detector()
    scores = score_all(judge, steady(2))

    with pytest.raises(ValueError, match="WARMING_UP: only a scored row"):
        judge.explain(scores, 1)


def test_a_row_far_from_every_cluster_is_not_known() -> None:
    judge = detector()

    assert score_all(judge, steady(4, a=-5.9)).known[3]
    assert not score_all(judge, steady(4, a=-6.1)).known[3]


def test_the_nearest_cluster_is_named() -> None:
    assert score_all(detector(), steady(4, a=6.0, b=12.0, c=3.0)).cluster[3] == 1


def test_no_rows_give_no_scores_and_the_same_window() -> None:
    judge = detector()
    _, window = judge.score(Window.empty(SENSORS), times(3), steady(3))

    scores, after = judge.score(window, times(0), steady(0))

    assert len(scores) == 0
    assert_array_equal(after.values, window.values)


@pytest.mark.parametrize("start", [2, 0], ids=["duplicate", "late"])
def test_a_row_that_is_not_later_than_the_window_is_refused(start: int) -> None:
    judge = detector()
    _, window = judge.score(Window.empty(SENSORS), times(3), steady(3))

    with pytest.raises(ValueError, match="later than the window's last"):
        judge.score(window, times(1, start=start), steady(1))


def test_a_window_with_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="aligned"):
        detector().score(Window.empty(("a", "b")), times(1), steady(1))


def test_a_longer_window_goes_on_from_the_rows_of_a_shorter_one() -> None:
    _, window = detector().score(Window.empty(SENSORS), times(50), steady(50))

    scores, _ = detector(window_rows=40).score(window, times(1, start=50), steady(1))

    assert scores.state[0] == RowState.SCORED


def test_a_window_that_no_memory_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="8589934592 rows of 3 sensors"):
        detector(window_rows=2**33)
