from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.detector.health import (
    LEAST_ROWS,
    PATIENCE,
    REACH_ROWS,
    Health,
    HealthLimits,
    check_health,
    learn_limits,
)

Rows = NDArray[np.float64]
NAN = np.nan


def history(*columns: Rows) -> MachineHistory:
    values = np.column_stack(columns).astype(np.float64)
    return MachineHistory("m", 1_000 * np.arange(len(values), dtype=np.int64), values)


def learnt(*columns: Rows) -> HealthLimits:
    return learn_limits([f"s{i}" for i in range(len(columns))], [history(*columns)])


def limits(run: int = 1, silence: int = 0, low: float = -1e6, high: float = 1e6) -> HealthLimits:
    return HealthLimits(np.array([low]), np.array([high]), np.array([run]), np.array([silence]))


def noise(rows: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=rows)


def check(given_limits: HealthLimits, *columns: Rows) -> Health:
    values = np.column_stack(columns).astype(np.float64)
    return check_health(given_limits, values[:0], values)


def by_definition(given_limits: HealthLimits, rows: Rows) -> NDArray[np.bool_]:
    """The four masks in plain loops, straight from what `Health` says; shape (4, n, d)."""
    masks = np.zeros((4, *rows.shape), dtype=np.bool_)
    for t, column in np.ndindex(*rows.shape):
        value = rows[t, column]
        reach = rows[max(0, t - REACH_ROWS + 1) : t + 1, column]
        stuck = max(LEAST_ROWS, PATIENCE * int(given_limits.longest_run[column]))
        silent = max(LEAST_ROWS, PATIENCE * int(given_limits.longest_silence[column]))
        present = reach[np.isfinite(reach)]
        masks[:, t, column] = (
            not np.isfinite(value),
            np.isfinite(value)
            and stuck <= REACH_ROWS
            and len(present) >= stuck
            and len(set(present[-stuck:])) == 1,
            np.isfinite(value)
            and not given_limits.low[column] <= value <= given_limits.high[column],
            silent <= REACH_ROWS
            and len(reach) >= silent
            and not np.isfinite(reach[-silent:]).any(),
        )
    return masks


@st.composite
def streams(draw: st.DrawFn) -> tuple[HealthLimits, Rows, list[int]]:
    """Limits, rows that like to repeat, fail and jump, and where to cut them."""
    d = draw(st.integers(1, 3))
    whole = arrays(np.int64, d, elements=st.integers(0, 45))
    drawn = HealthLimits(np.full(d, -5.0), np.full(d, 5.0), draw(whole), draw(whole))
    value = st.sampled_from([0.0, 1.0, NAN, np.inf, -np.inf, 99.0])
    stretch = st.tuples(st.integers(1, 60), arrays(np.float64, d, elements=value))
    rows = np.vstack(
        [
            np.where(vary, row + np.arange(length)[:, np.newaxis] % 4 / 4, row)
            for (length, row), vary in draw(
                st.lists(
                    st.tuples(stretch, arrays(np.bool_, d)),
                    min_size=1,
                    max_size=8,
                )
            )
        ]
    )
    gaps = arrays(np.bool_, rows.shape, elements=st.booleans(), fill=st.just(False))
    rows = np.where(draw(gaps), NAN, rows)
    cuts = draw(st.lists(st.integers(0, len(rows)), max_size=12))
    return drawn, rows, sorted({0, len(rows), *cuts})


@given(streams())
def test_the_verdicts_are_the_same_however_the_stream_is_cut(
    stream: tuple[HealthLimits, Rows, list[int]],
) -> None:
    drawn, rows, cuts = stream

    cut = [
        np.stack(check_health(drawn, rows[max(0, a - drawn.rows_needed) : a], rows[a:b]))
        for a, b in pairwise(cuts)
    ]

    assert_array_equal(np.concatenate(cut, axis=1), by_definition(drawn, rows))


@given(streams())
def test_row_by_row_and_with_more_carried_than_needed_the_verdicts_are_the_same(
    stream: tuple[HealthLimits, Rows, list[int]],
) -> None:
    drawn, rows, _ = stream

    single = [np.stack(check_health(drawn, rows[:a], rows[a : a + 1])) for a in range(len(rows))]

    assert_array_equal(np.concatenate(single, axis=1), by_definition(drawn, rows))


@pytest.mark.parametrize("start", range(20))
def test_a_short_run_anywhere_in_a_long_batch_is_found(start: int) -> None:
    rows = noise(3_000)[:, np.newaxis]
    rows[1_000 + start : 1_010 + start] = 0.5

    assert np.flatnonzero(check(limits(), rows).stuck).tolist() == [1_009 + start]


def test_a_sensor_that_repeats_its_value_for_longer_than_ever_is_stuck_until_it_moves() -> None:
    values = np.concatenate((noise(20), np.full(30, 0.25), noise(20, 1)))

    stuck = np.flatnonzero(check(learnt(noise(500)), values).stuck)

    assert stuck.tolist() == list(range(20 + LEAST_ROWS - 1, 50))


def test_the_coarser_a_sensor_is_the_more_patience_it_gets() -> None:
    coarse = np.repeat(np.arange(100.0) % 7, 5)

    stuck = np.flatnonzero(check(learnt(coarse), np.full(40, 3.0)).stuck)

    assert stuck[0] == 3 * 5 - 1


@pytest.mark.parametrize(
    "holding",
    [
        pytest.param(np.repeat([20.0, 60.0, 20.0], 200), id="set point"),
        pytest.param(np.repeat(np.arange(10.0), 60), id="counter"),
        pytest.param(np.repeat(noise(12), 50), id="slowly polled"),
        pytest.param(np.where(np.arange(600) % 100 < 60, 0.0, noise(600)), id="rests at zero"),
    ],
)
def test_a_sensor_that_holds_its_value_in_ordinary_running_is_never_stuck(holding: Rows) -> None:
    assert not check(learnt(holding), np.full(5_000, 20.0)).stuck.any()


def test_a_missing_value_neither_breaks_nor_lengthens_a_run() -> None:
    values = np.full(25, 4.0)
    values[1::2] = NAN

    health = check(limits(run=1), values)

    # The tenth value that is present is in row 18.
    assert np.flatnonzero(health.stuck).tolist() == [18, 20, 22, 24]


@pytest.mark.parametrize(("last", "is_stuck"), [(119, True), (120, False)])
def test_equal_values_count_as_far_back_as_the_reach(last: int, is_stuck: bool) -> None:
    values = np.full(121, NAN)
    values[[*range(9), last]] = 4.0

    assert check(limits(run=1, silence=40), values).stuck[last, 0] == is_stuck


def test_a_value_beyond_ten_times_what_was_seen_is_out_of_range_and_a_doubled_one_is_not() -> None:
    seen = learnt(np.linspace(3.8, 4.2, 200))

    health = check(seen, np.array([8.4, 0.0, -4.0, 40.0, 1e9, -9_999.0, 65_535.0]))

    assert health.out_of_range.ravel().tolist() == [False] * 4 + [True] * 3


def test_a_sensor_that_swings_about_zero_has_its_range_from_the_swing() -> None:
    seen = learnt(np.linspace(-1.0, 1.0, 200))

    assert (seen.low[0], seen.high[0]) == (-21.0, 21.0)


def test_a_sensor_is_silent_once_it_has_sent_nothing_for_longer_than_ever() -> None:
    polled = np.where(np.arange(400) % 6 == 0, noise(400), NAN)
    values = np.concatenate((polled[:31], np.full(40, NAN)))

    health = check(learnt(polled), values)

    # The last value is in row 30; five missing in a row are ordinary, so the fifteenth is not.
    assert np.flatnonzero(health.silent).tolist() == list(range(45, 71))
    assert health.missing.sum() == np.isnan(values).sum()


def test_a_sensor_that_never_sent_is_silent_after_the_least_rows() -> None:
    silent = check(limits(), np.full(12, NAN)).silent

    assert np.flatnonzero(silent).tolist() == [9, 10, 11]


def test_one_sick_sensor_leaves_the_others_well() -> None:
    train = noise(500), noise(500, 1), noise(500, 2), noise(500, 3)
    rows = np.column_stack([noise(50, 4 + i) for i in range(4)])
    rows[10:, 0] = 0.5
    rows[10:, 1] = 1e9
    rows[10:, 2] = NAN

    health = check(learnt(*train), rows)

    assert health.stuck[-1].tolist() == [True, True, False, False]
    assert health.out_of_range[-1].tolist() == [False, True, False, False]
    assert health.silent[-1].tolist() == [False, False, True, False]
    assert health.missing[-1].tolist() == [False, False, True, False]


def test_the_longest_run_and_the_widest_range_of_all_machines_count() -> None:
    calm, busy = history(np.repeat([1.0, 2.0], 4)), history(np.arange(9.0))

    both = learn_limits(["s"], [calm, busy])

    assert both.longest_run.tolist() == [4]
    assert (both.low[0], both.high[0]) == (-80.0, 88.0)


def test_runs_of_two_machines_are_not_joined() -> None:
    one = history(np.array([1.0, 5.0, 5.0, NAN]))
    other = history(np.array([NAN, 5.0, 5.0, 1.0]))

    both = learn_limits(["s"], [one, other])

    assert (both.longest_run.tolist(), both.longest_silence.tolist()) == ([2], [1])


def test_a_sensor_without_any_value_can_still_be_stored() -> None:
    empty = learnt(np.full(50, NAN))

    assert np.isfinite(empty.low).all()
    assert np.isfinite(empty.high).all()
    assert not check(empty, np.array([1e100, -1e100])).out_of_range.any()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("longest_run", np.array([1.0]), "longest_run is float64"),
        ("longest_silence", np.array([1, 2]), "must be int64 of"),
        ("low", np.array([1e9]), "end before it begins"),
        ("longest_run", np.array([-1]), "can be negative"),
    ],
)
def test_limits_that_cannot_be_are_refused(name: str, array: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(learnt(noise(50)), **{name: array})


def test_no_rows_give_no_verdicts() -> None:
    assert check_health(limits(), np.empty((0, 1)), np.empty((0, 1))).stuck.shape == (0, 1)
