"""Rows that a machine with a load cycle dropped: they count as rows of which all is missing."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.alarms import AlarmPolicy
from faultline.detector import Detector, MachineHistory, RowState, Scores, Window
from faultline.detector.fit import FitConfig, fit
from faultline.detector.grid import grid_step_ms, on_grid
from faultline.judge import Model, judge
from faultline.machine_state import MachineState, decode_state, encode_state
from faultline.readings import make_reading

Rows = NDArray[np.float64]
Times = NDArray[np.int64]
CYCLE_ROWS = 30
STEP_MS = 1_000
SENSORS = ("pressure", "flow", "current")
SIZES = np.array([2.0, 5.0, 8.0])


def steps(seed: int, rows: int) -> Rows:
    """Sensors that jump between the four levels of one load cycle."""
    rng = np.random.default_rng(seed)
    phase = np.arange(rows) % CYCLE_ROWS
    load = np.select([phase < 6, phase < 15, phase < 21], [0.0, 1.0, 0.4], -0.6)
    swinging: Rows = load[:, np.newaxis] + 0.05 * rng.normal(size=(rows, 3))
    return np.asarray(swinging * SIZES)


def sines(seed: int, rows: int) -> Rows:
    rng = np.random.default_rng(seed)
    load = np.sin(2 * np.pi * np.arange(rows) / CYCLE_ROWS)
    swinging: Rows = load[:, np.newaxis] + 0.1 * rng.normal(size=(rows, 3))
    return np.asarray(swinging * SIZES)


MACHINES = {"steps": steps, "sines": sines}


def times(rows: int) -> Times:
    return STEP_MS * np.arange(rows, dtype=np.int64)


def fitted(rows: Rows, at: Times | None = None) -> Detector:
    at = times(len(rows)) if at is None else at
    return fit(SENSORS, [MachineHistory("press", at, rows)]).detector


@pytest.fixture(scope="module", params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def press(machine: str) -> Detector:
    return fitted(MACHINES[machine](1, 2_400))


def scored(detector: Detector, rows: Rows, at: Times) -> Scores:
    return detector.score(Window.empty(detector.sensors), at, rows)[0]


def kept(rows: int, dropped: list[int], burst: int = 1) -> NDArray[np.int64]:
    """Which rows are left when so many are dropped from each of some on."""
    gone = np.ravel(np.add.outer(dropped, np.arange(burst)))
    return np.setdiff1d(np.arange(rows), gone)


def every(cycles: int, rows: int, seed: int) -> list[int]:
    """One row in every so many cycles, in whatever phase."""
    starts = np.arange(2 * CYCLE_ROWS, rows - cycles * CYCLE_ROWS, cycles * CYCLE_ROWS)
    phases = np.random.default_rng(seed).integers(0, CYCLE_ROWS, len(starts))
    return [int(at) for at in starts + phases]


@pytest.mark.parametrize("burst", [1, 3])
def test_a_healthy_machine_that_drops_rows_raises_no_alarm(
    machine: str, press: Detector, burst: int
) -> None:
    rows = MACHINES[machine](2, 6_000)
    assert np.nanmax(scored(press, rows, times(6_000)).score) < 1
    left = kept(6_000, every(3, 6_000, 3), burst)

    scores = scored(press, rows[left], times(6_000)[left])

    assert len(scores.score) == len(left)
    assert (scores.state[CYCLE_ROWS:] == RowState.SCORED).all()
    assert np.nanmax(scores.score) < 1


def test_a_dropped_row_beside_a_missing_cell_raises_no_alarm(machine: str, press: Detector) -> None:
    rows = MACHINES[machine](4, 3_000)
    drops = np.array(every(3, 3_000, 5))
    for column, apart in enumerate((-2, 1, 4)):
        rows[drops + apart, column] = np.nan
    left = kept(3_000, drops.tolist())

    assert np.nanmax(scored(press, rows[left], times(3_000)[left]).score) < 1


@pytest.mark.parametrize("burst", [1, 3])
def test_a_fault_keeps_at_least_three_quarters_of_its_score(
    machine: str, press: Detector, burst: int
) -> None:
    rows = MACHINES[machine](6, 1_500)
    rows[:, 1] += 12 * press.boundary / 5 * press.scale[1]
    left = kept(1_500, every(2, 1_500, 7), burst)
    whole = scored(press, rows, times(1_500)).score[left][CYCLE_ROWS:]

    holed = scored(press, rows[left], times(1_500)[left]).score[CYCLE_ROWS:]

    assert np.median(holed / whole) >= 0.75
    assert (holed > 1).mean() > 0.95


def test_a_history_with_dropped_rows_gives_nearly_the_same_detector() -> None:
    rows = steps(8, 3_000)
    left = kept(3_000, every(2, 3_000, 9))

    whole, holed = fitted(rows), fitted(rows[left], times(3_000)[left])

    assert holed.step_ms == whole.step_ms == STEP_MS
    assert holed.window_rows == whole.window_rows == CYCLE_ROWS
    np.testing.assert_allclose(holed.change, whole.change, rtol=0.1)
    assert holed.boundary * holed.scale == pytest.approx(whole.boundary * whole.scale, rel=0.3)


def test_a_stored_detector_scores_dropped_rows_the_same(press: Detector) -> None:
    left = kept(300, [100, 150])
    read = Detector.from_parts(press.parameters(), press.to_arrays())

    own, of_read = (scored(one, steps(22, 300)[left], times(300)[left]) for one in (press, read))

    assert_array_equal(own.score, of_read.score)


def test_training_and_scoring_make_the_same_means() -> None:
    left = kept(1_500, every(2, 1_500, 9))
    rows, at = steps(8, 1_500)[left], times(1_500)[left].copy()
    at[200::97] += 600  # late, the next on time
    found = fit(SENSORS, [MachineHistory("press", at, rows)])

    scores = scored(found.detector, rows, at)

    held_out = found.timelines[0]
    assert (scores.state[CYCLE_ROWS - 1 :] == RowState.SCORED).all()
    assert held_out.timestamps_ms.tolist() == at[CYCLE_ROWS - 1 :].tolist()
    assert np.nanmedian(scores.score) == pytest.approx(np.nanmedian(held_out.scores), rel=0.2)
    assert np.nanmax(held_out.scores) < 1.5


def test_jitter_of_less_than_half_a_step_changes_nothing(machine: str, press: Detector) -> None:
    rows = MACHINES[machine](10, 400)
    jitter = np.random.default_rng(11).integers(-249, 250, 400)

    even, jittered = (scored(press, rows, times(400) + by) for by in (0, jitter))

    assert_array_equal(jittered.score, even.score)


def test_a_row_that_comes_late_shifts_no_phase(machine: str, press: Detector) -> None:
    rows = MACHINES[machine](12, 1_000)
    at = times(1_000)
    at[100::70] += 700
    even, late = scored(press, rows, times(1_000)), scored(press, rows, at)

    own = np.arange(1_000) % 70 == 30
    assert np.nanmax(late.score[~own]) < 1
    assert_array_equal(late.score[~own], even.score[~own])


def test_rows_sent_together_after_a_pause_shift_no_phase(press: Detector) -> None:
    rows = steps(12, 300)
    at = times(300)
    at[100:104] = at[103] + np.arange(4)

    scores = scored(press, rows, at)

    assert_array_equal(scores.score[103:], scored(press, rows, times(300)).score[103:])


def test_an_extra_row_counts_as_a_row() -> None:
    at = np.array([0, 1_000, 1_300, 2_000])

    assert on_grid(np.zeros((4, 1)), at, STEP_MS, 10 * STEP_MS).place.tolist() == [0, 1, 2, 3]


def test_a_machine_sampled_faster_than_in_training_is_counted_in_rows(press: Detector) -> None:
    rows = steps(13, 200)

    fast, usual = (scored(press, rows, times(200) // part).score for part in (4, 1))

    assert_array_equal(fast, usual)


def test_a_window_of_which_more_than_half_was_dropped_says_too_little(press: Detector) -> None:
    left = kept(200, [100], CYCLE_ROWS // 2 + 1)

    state = scored(press, steps(14, 200)[left], times(200)[left]).state

    assert state[99:102].tolist() == [RowState.SCORED, *2 * [RowState.INSUFFICIENT]]


def test_a_machine_that_sends_at_a_much_lower_rate_takes_no_more_memory(press: Detector) -> None:
    rows = steps(17, 2_000)

    def peak(at: Times) -> int:
        tracemalloc.start()
        scored(press, rows, at)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(times(2_000) * (CYCLE_ROWS - 1)) < 3 * peak(times(2_000))


def test_after_a_gap_the_window_begins_anew(press: Detector) -> None:
    at = times(200)
    at[100:] += 2 * press.max_gap_ms

    state = scored(press, steps(15, 200), at).state

    assert (np.flatnonzero(state[50:] == RowState.WARMING_UP) + 50).tolist() == list(
        range(100, 100 + CYCLE_ROWS - 1)
    )


def test_a_machine_with_irregular_steps_is_left_as_it_is() -> None:
    rng = np.random.default_rng(16)
    rows = steps(17, 2_400)
    at = np.cumsum(rng.choice([1_000, 1_000, 1_000, 1_700], 2_400))

    irregular, even = fitted(rows, at), fitted(rows)

    assert irregular.change.size
    assert irregular.step_ms == 0
    for name, array in even.to_arrays().items():
        assert_array_equal(irregular.to_arrays()[name], array, name)
    fresh = steps(18, 300)
    assert_array_equal(
        scored(irregular, fresh, at[:300]).score, scored(irregular, fresh, times(300)).score
    )


def test_a_machine_that_fills_nothing_has_no_grid() -> None:
    noise = np.random.default_rng(19).normal(size=(1_000, 3))
    at = times(1_200)[kept(1_200, list(range(5, 1_200, 6)))]

    histories = [MachineHistory("fan", at, noise)]

    assert fit(SENSORS, histories, FitConfig(window_rows=20)).detector.step_ms == 0


def test_a_clock_of_whole_seconds_that_skips_some_drops_no_row() -> None:
    rows = steps(20, 2_400)
    skipping = (1_048 * np.arange(2_400, dtype=np.int64)) // STEP_MS * STEP_MS

    found = fitted(rows, skipping)

    assert found.change.size
    assert found.step_ms == 0
    assert_array_equal(found.scale, fitted(rows).scale)


def test_slow_sensors_are_no_load_cycle() -> None:
    rng = np.random.default_rng(21)
    wandering = 0.1 * np.cumsum(rng.normal(size=(1_200, 3)), axis=0)

    found = fitted(wandering)

    assert found.change.size
    assert found.step_ms == 0


def test_one_irregular_machine_among_its_type_takes_the_grid_from_all() -> None:
    even = MachineHistory("even", times(100), np.zeros((100, 1)))
    slow = MachineHistory("slow", 3 * times(20), np.zeros((20, 1)))

    assert grid_step_ms([even], STEP_MS, 10 * STEP_MS) == STEP_MS
    assert grid_step_ms([even, slow], STEP_MS, 10 * STEP_MS) == 0


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    drop=st.sampled_from([0.01, 0.1]),
    late=st.sampled_from([0.0, 0.05]),
    missing=st.sampled_from([0.0, 0.03]),
    gap_at=st.none() | st.integers(1, 250),
    cuts=st.lists(st.integers(0, 250), max_size=6),
    one_by_one=st.booleans(),
)
def test_the_scores_are_the_same_however_rows_are_cut(
    seed: int,
    drop: float,
    late: float,
    missing: float,
    gap_at: int | None,
    cuts: list[int],
    one_by_one: bool,
) -> None:
    judge = replace(_PRESS, window_rows=70) if seed % 2 else _PRESS
    rng = np.random.default_rng(seed)
    rows = steps(seed, 250)
    rows[rng.random(rows.shape) < missing] = np.nan
    taken = np.where(rng.random(250) < drop, rng.integers(2, 5, 250), 1)
    at = STEP_MS * np.cumsum(taken)
    at[rng.random(250) < late] += 800
    at[rng.random(250) < late] -= 190
    if gap_at is not None:
        at[gap_at:] += 2 * judge.max_gap_ms
    whole, _ = judge.score(Window.empty(SENSORS), at, rows)

    window, adaptation = Window.empty(SENSORS), None
    edges = list(range(251)) if one_by_one else [0, *sorted(cuts), 250]
    for start, stop in pairwise(edges):
        part, window = judge.score(window, at[start:stop], rows[start:stop], adaptation=adaptation)
        adaptation = part.adaptation
        for name in ("state", "score", "means", "counts"):
            assert_array_equal(getattr(part, name), getattr(whole, name)[start:stop], name)


@pytest.mark.parametrize("restored", [False, True])
def test_the_stream_judges_dropped_rows_as_they_are_scored_at_once(restored: bool) -> None:
    judging = replace(_PRESS, window_rows=90)  # more than the rows kept without filling
    rows = steps(23, 420)
    left = kept(420, [95, 200, 233, 340], 2)
    whole = scored(judging, rows[left], times(420)[left])
    readings = [
        make_reading("press", int(at), dict(zip(SENSORS, row.tolist(), strict=True)), "press")
        for at, row in zip(times(420)[left], rows[left], strict=True)
    ]

    state, found = MachineState(), list[float | None]()
    for start in range(0, len(readings), 7):
        part = judge(
            Model("press", "1", judging), state, readings[start : start + 7], AlarmPolicy()
        )
        state = decode_state(encode_state(part.state)) if restored else part.state
        found += [verdict.score for verdict in part.batch.verdicts]

    assert [one for one in found if one is not None] == pytest.approx(
        whole.score[~np.isnan(whole.score)].tolist(), rel=1e-12
    )


_PRESS = Detector(
    sensors=SENSORS,
    window_rows=CYCLE_ROWS,
    max_gap_ms=70 * STEP_MS,
    step_ms=STEP_MS,
    centre=np.zeros(3),
    scale=np.array([0.02, 0.05, 0.08]),
    spread=np.array([1.2, 3.0, 4.8]),
    change=np.array([0.14, 0.35, 3.0]),
    clusters=np.zeros((1, 3)),
    boundary=3.0,
    unknown_score=2.0,
)
