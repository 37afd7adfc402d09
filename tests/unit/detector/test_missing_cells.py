"""Missing cells of machines with a load cycle: filled from one window before, and doubted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory, RowState, Scores, Window
from faultline.detector.distance import rows_at_once
from faultline.detector.fit import FitConfig, fit
from faultline.detector.smoothing import filled_means, lagged_change, window_means

Rows = NDArray[np.float64]
CYCLE_ROWS = 30
STEP_MS = 1_000
MORE_THAN_AT_ONCE = 3 * rows_at_once(3) + 7
SENSORS = ("pressure", "flow", "current")


def steps(seed: int, rows: int, *, noise: float = 0.05) -> Rows:
    """Sensors that jump between the four levels of one load cycle."""
    rng = np.random.default_rng(seed)
    phase = np.arange(rows) % CYCLE_ROWS
    load = np.select([phase < 6, phase < 15, phase < 21], [0.0, 1.0, 0.4], -0.6)
    return load[:, np.newaxis] * [2.0, 5.0, 8.0] + noise * rng.normal(size=(rows, 3)) * [2, 5, 8]


def sines(seed: int, rows: int) -> Rows:
    rng = np.random.default_rng(seed)
    load = np.sin(2 * np.pi * np.arange(rows) / CYCLE_ROWS)
    return load[:, np.newaxis] * [2.0, 5.0, 8.0] + 0.1 * rng.normal(size=(rows, 3)) * [2, 5, 8]


MACHINES = {"steps": steps, "sines": sines}


def times(rows: int, start: int = 0) -> NDArray[np.int64]:
    return STEP_MS * np.arange(start, start + rows, dtype=np.int64)


def fitted(rows: Rows) -> Detector:
    return fit(SENSORS, [MachineHistory("press", times(len(rows)), rows)]).detector


@pytest.fixture(scope="module", params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def press(machine: str) -> Detector:
    return fitted(MACHINES[machine](1, 2_400))


def scored(detector: Detector, rows: Rows) -> Scores:
    return detector.score(Window.empty(SENSORS), times(len(rows)), rows)[0]


def with_holes(rows: Rows, seed: int) -> Rows:
    """Three cells of every sensor missing in each cycle, never the same as in the one before."""
    rng = np.random.default_rng(seed)
    out = rows.copy()
    for column in range(rows.shape[1]):
        for start in range(CYCLE_ROWS, len(rows) - CYCLE_ROWS, CYCLE_ROWS):
            free = start + np.flatnonzero(~np.isnan(out[start - CYCLE_ROWS : start, column]))
            out[rng.choice(free, 3, replace=False), column] = np.nan
    return out


def test_a_fault_keeps_at_least_three_quarters_of_its_score(machine: str, press: Detector) -> None:
    rows = MACHINES[machine](2, 900)
    rows[:, 1] += 12 * press.boundary / 5 * press.scale[1]
    whole = scored(press, rows).score[CYCLE_ROWS:]
    assert np.nanmedian(whole) > 1.5

    holed = scored(press, with_holes(rows, 3)).score[CYCLE_ROWS:]

    assert np.nanmedian(holed / whole) >= 0.75
    assert (holed > 1).mean() > 0.95


def test_a_healthy_machine_with_missing_cells_raises_no_alarm(
    machine: str, press: Detector
) -> None:
    score = scored(press, with_holes(MACHINES[machine](4, 6_000), 5)).score

    assert np.isfinite(score[CYCLE_ROWS:]).all()
    assert (score[CYCLE_ROWS:] > 1).mean() < 0.001


def test_what_fills_is_doubted_by_as_much_as_the_cycle_is_known_to_change(
    press: Detector,
) -> None:
    rows = with_holes(steps(6, 300), 7)
    doubtful = replace(press, change=2 * press.change)

    at = [scored(judge, rows).counts[2 * CYCLE_ROWS :] for judge in (press, doubtful)]

    assert (at[1] <= at[0]).all()
    assert (at[1] < at[0]).any()


def test_a_machine_without_a_cycle_keeps_no_longer_window_and_fills_nothing() -> None:
    noise = np.random.default_rng(8).normal(size=(1_000, 3))

    judge = fit(
        SENSORS, [MachineHistory("fan", times(1_000), noise)], FitConfig(window_rows=100)
    ).detector

    assert judge.change.size == 0
    assert judge.rows_needed == 119


def test_a_history_with_missing_cells_gives_nearly_the_same_detector() -> None:
    rows = steps(9, 2_400)

    whole, holed = fitted(rows), fitted(with_holes(rows, 10))

    np.testing.assert_allclose(holed.scale, whole.scale, rtol=0.3)
    np.testing.assert_allclose(holed.change, whole.change, rtol=0.1)
    assert holed.boundary == pytest.approx(whole.boundary, rel=0.3)


def test_training_and_scoring_make_the_same_means_of_missing_cells() -> None:
    judge = fitted(with_holes(steps(9, 600), 10))
    rows = with_holes(steps(11, MORE_THAN_AT_ONCE), 10)

    means = scored(judge, rows).means

    spread = judge.spread
    padded = np.concatenate((np.full((CYCLE_ROWS, 3), np.nan), rows / spread))
    expected, _ = filled_means(
        padded, CYCLE_ROWS, judge.change / spread, np.arange(1 - CYCLE_ROWS, len(rows) + 1)
    )
    np.testing.assert_allclose(
        judge.centre + judge.scale * means[CYCLE_ROWS - 1 :], expected * spread, rtol=1e-9
    )


def test_a_sensor_that_falls_silent_is_missing_and_then_masked(press: Detector) -> None:
    rows = steps(11, 300)
    rows[150:, 0] = np.nan

    scores = scored(press, rows)

    assert scores.health.missing[150:, 0].all()
    assert scores.health.silent[-1, 0]
    half = 150 + CYCLE_ROWS // 2
    assert np.isfinite(scores.means[half - 1, 0])
    assert np.isnan(scores.means[half:, 0]).all()
    assert (scores.state[CYCLE_ROWS:] == RowState.SCORED).all()


def test_nothing_is_filled_from_before_a_gap(press: Detector) -> None:
    rows = steps(12, 150)
    rows[100, 0] = np.nan
    at = times(150)
    at[80:] += 2 * press.max_gap_ms

    counts = press.score(Window.empty(SENSORS), at, rows)[0].counts

    assert counts[112, 0] == CYCLE_ROWS - 1


def test_a_cell_that_is_missing_a_window_before_as_well_is_not_filled() -> None:
    rows = np.array([[np.nan], [4.0], [np.nan], [6.0]])

    means, counts = filled_means(rows, 2, np.array([0.1]), np.arange(1, 5))

    assert (means[0, 0], counts[0, 0]) == (6.0, 1.0)


def test_a_sensor_that_does_not_come_back_is_not_filled() -> None:
    rows = np.array([[1.0, 1.0], [4.0, 4.0], [np.nan, np.nan], [6.0, 6.0]])

    means, counts = filled_means(rows, 2, np.array([0.1, 0.9]), np.arange(1, 5))

    assert means[0].tolist() == [3.5, 6.0]
    assert (counts[0, 0] > 1.8, counts[0, 1]) == (True, 1.0)


def test_a_window_of_which_more_than_half_is_absent_has_no_mean_however_well_it_is_filled() -> None:
    rows = np.array([[1.0], [2.0], [3.0], [4.0], [np.nan], [np.nan], [np.nan], [4.0]])

    assert np.isnan(filled_means(rows, 4, np.array([0.0]), np.arange(1, 9))[0][0, 0])


def test_one_long_hole_is_doubted_more_than_as_many_cells_here_and_there() -> None:
    rows = np.tile(np.arange(8.0), 2)[:, np.newaxis]
    together, apart = rows.copy(), rows.copy()
    together[[9, 10, 11]] = np.nan
    apart[[9, 11, 13]] = np.nan
    change = np.array([0.2])

    counts = [
        filled_means(holed, 8, change, np.arange(1, 17))[1][0, 0] for holed in (together, apart)
    ]

    assert counts == pytest.approx([8 / (1 + 3 * 0.2 / 8), 8 / (1 + 3**0.5 * 0.2 / 8)])


def test_where_nothing_is_missing_the_means_are_those_without_filling() -> None:
    rows = steps(13, 200)

    filled, plain = (
        filled_means(rows, CYCLE_ROWS, np.full(3, 0.1), np.arange(1, 201)),
        window_means(rows[CYCLE_ROWS:], CYCLE_ROWS),
    )

    assert_array_equal(filled[0], plain[0])
    assert_array_equal(filled[1], plain[1])


def test_no_row_is_compared_over_a_gap() -> None:
    rows = np.arange(6.0)[:, np.newaxis]

    assert lagged_change(rows, 2, np.array([1, 2, 3, 1, 2, 3])).ravel().tolist() == [2.0, 2.0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.02, 0.1, 0.4]),
    longest=st.sampled_from([1, 4, 40]),
    gap_at=st.integers(1, 250),
    cuts=st.lists(st.integers(0, 250), max_size=6),
)
def test_the_scores_are_the_same_however_rows_with_holes_are_cut(
    seed: int, share: float, longest: int, gap_at: int, cuts: list[int]
) -> None:
    judge = replace(_PRESS, window_rows=70) if seed % 2 else _PRESS
    rng = np.random.default_rng(seed)
    rows = steps(seed, 250)
    for column in range(3):
        for begin in np.flatnonzero(rng.random(250) < share / longest).tolist():
            rows[begin : begin + int(rng.integers(1, longest + 1)), column] = np.nan
    at = times(250)
    if seed % 3 == 0:
        at[gap_at:] += 2 * judge.max_gap_ms
    whole, _ = judge.score(Window.empty(SENSORS), at, rows)

    window, adaptation = Window.empty(SENSORS), None
    edges = [0, *sorted(cuts), 250]
    for start, stop in pairwise(edges):
        part, window = judge.score(window, at[start:stop], rows[start:stop], adaptation=adaptation)
        adaptation = part.adaptation
        for name in ("state", "score", "means", "counts"):
            assert_array_equal(getattr(part, name), getattr(whole, name)[start:stop], name)


_PRESS = Detector(
    sensors=SENSORS,
    window_rows=CYCLE_ROWS,
    max_gap_ms=50 * STEP_MS,
    centre=np.zeros(3),
    scale=np.array([0.02, 0.05, 0.08]),
    spread=np.array([1.2, 3.0, 4.8]),
    change=np.array([0.14, 0.35, 3.0]),
    clusters=np.zeros((1, 3)),
    boundary=3.0,
    unknown_score=2.0,
)
