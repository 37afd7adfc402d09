"""A machine that goes on changing among several regimes settles into a lasting new state, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from faultline.detector import Detector, Scores, Window
from faultline.detector.adaptation import AdaptationRule
from faultline.machine_state import Adapted, MachineState, decode_state, encode_state

Rows = NDArray[np.float64]
SENSORS = ("a", "b", "c")
BOUNDARY = 4.0
STEP_MS = 1_000
STEP_ROWS = 5
SETTLE_ROWS = 300
RULE = AdaptationRule(step_rows=STEP_ROWS, follow_rows=2_000, settle_ms=SETTLE_ROWS * STEP_MS)
REGIMES = np.array([[0.0, 0.0, 0.0], [0.0, 50.0, 0.0], [30.0, 0.0, 0.0]])
OFFSET = BOUNDARY * np.array([2.0, 0.0, -1.5])
EVERY = (0, 1, 2)


def detector(**changes: object) -> Detector:
    plain = Detector(
        sensors=SENSORS,
        window_rows=1,
        max_gap_ms=10_000_000,
        centre=np.zeros(3),
        scale=np.ones(3),
        spread=np.ones(3),
        clusters=REGIMES,
        boundary=BOUNDARY,
        unknown_score=2.0,
        rule=RULE,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def running(
    rows: int,
    regimes: Sequence[int] = EVERY,
    offset: Rows | float = OFFSET,
    *,
    only_in: Sequence[int] = EVERY,
    stay_rows: int = 20,
    seed: int = 0,
) -> Rows:
    """Rows of a machine that changes among regimes, off by `offset` in some of them."""
    regime = np.array(regimes)[np.arange(rows) // stay_rows % len(regimes)]
    noise = np.random.default_rng(seed).normal(scale=0.3, size=(rows, 3))
    values: Rows = REGIMES[regime] + np.isin(regime, only_in)[:, np.newaxis] * offset + noise
    return values


def score(judge: Detector, *parts: Rows) -> Scores:
    values = np.vstack(parts)
    times = STEP_MS * np.arange(len(values), dtype=np.int64)
    return judge.score(Window.empty(SENSORS), times, values)[0]


def bad(scores: Scores) -> NDArray[np.bool_]:
    return np.asarray((scores.score > 1) & ~scores.settled)


@pytest.mark.parametrize("stay_rows", [2, 7, 20, 50])
def test_a_change_in_every_regime_settles_after_the_time_of_the_rule(stay_rows: int) -> None:
    scores = score(detector(), running(100, offset=0.0), running(900, stay_rows=stay_rows))

    settled_from = int(scores.settled.argmax())
    all_seen = 100 + 3 * stay_rows
    assert 100 + SETTLE_ROWS < settled_from <= all_seen + SETTLE_ROWS + 4 * STEP_ROWS
    assert bad(scores)[100:settled_from].all()
    assert scores.settled[settled_from:].all()


def test_a_row_of_it_is_explained_from_the_state_beside_its_regime() -> None:
    judge = detector()
    own = np.array([[0.0, 0.0, 7.0], [0.0, 0.0, 20.0], [0.0, 0.0, 9.0]])
    higher = BOUNDARY * np.array([0.0, 0.0, 0.6])
    regime = np.arange(960) // 7 % 3
    values = running(960, offset=0.0, stay_rows=7) + own[regime]
    values[900:] += higher

    scores = score(judge, values)

    assert_array_equal(scores.cluster[900:], regime[900:])
    for row in range(900, 960):
        top = judge.explain(scores, row)[0]
        assert (top.sensor, top.direction) == ("c", "high")
        assert top.expected == pytest.approx(own[regime[row], 2], abs=0.2)


def test_a_second_fault_beside_it_alarms_and_settles_in_its_turn() -> None:
    second = BOUNDARY * np.array([0.0, 3.0, 0.0])

    scores = score(detector(), running(900), running(900, offset=OFFSET + second))

    assert bad(scores)[900 : 900 + SETTLE_ROWS].all()
    assert scores.settled[-400:].all()


def test_a_second_fault_in_one_regime_alone_leaves_the_others_settled() -> None:
    second = BOUNDARY * np.array([0.0, 0.0, -3.0])
    later = running(1500) + np.where(np.arange(1500) // 20 % 3 == 1, 1.0, 0.0)[:, None] * second
    is_second = np.arange(1500) // 20 % 3 == 1

    scores = score(detector(), running(900), later)

    after = slice(900, None)
    assert scores.settled[after][~is_second].all()
    assert bad(scores)[after][is_second][:60].all()
    assert scores.settled[-60:].all()


def test_a_repair_ends_it_in_every_regime_and_the_same_fault_alarms_again() -> None:
    repaired = running(STEP_ROWS, [1], 0.0)

    scores = score(detector(), running(900), repaired, running(900))

    assert scores.settled[899]
    assert scores.adaptation.new_normal is not None
    assert bad(scores)[900 + STEP_ROWS :][:SETTLE_ROWS].all()
    assert scores.settled[-1]


def test_a_fault_that_comes_and_goes_in_one_regime_never_settles() -> None:
    rows = [running(35, [0]), running(10, [0], 0.0)] * 60

    assert not score(detector(), *rows).settled.any()


def test_a_return_before_it_settled_begins_the_time_anew() -> None:
    scores = score(detector(), running(300), running(5, [0], 0.0), running(300))

    assert not scores.settled.any()


@pytest.mark.parametrize("faulty", [[0], [1], [0, 2]])
def test_a_fault_that_shows_in_some_regimes_only_settles_there(faulty: list[int]) -> None:
    rows = running(1500, only_in=faulty)
    is_faulty = np.isin(np.arange(1500) // 20 % 3, faulty)

    scores = score(detector(), rows)

    settled_from = int(scores.settled.argmax())
    assert is_faulty[:settled_from].sum() > SETTLE_ROWS * 0.9
    assert bad(scores)[:settled_from][is_faulty[:settled_from]].all()
    assert_array_equal(scores.settled[settled_from:], is_faulty[settled_from:])
    assert not (scores.score[~is_faulty] > 1).any()


def test_time_in_a_regime_without_the_fault_does_not_count() -> None:
    rows = [running(10, [0]), running(90, [1], 0.0)] * 8

    assert not score(detector(), *rows).settled.any()
    assert score(detector(), *rows * 5).settled.any()


def test_a_regime_that_turns_out_to_be_without_the_fault_begins_the_time_anew() -> None:
    scores = score(detector(), running(280, [0]), running(10, [1], 0.0), running(280, [0]))

    assert not scores.settled.any()


def test_a_fault_that_comes_to_the_last_regime_settles_and_its_repair_ends_all() -> None:
    only_first, both = running(1500, [0, 1], only_in=[0]), running(1500, [0, 1])

    scores = score(detector(), only_first, both, running(STEP_ROWS, [1], 0.0))

    assert_array_equal(scores.settled[1460:1500], np.repeat([False, True], 20))
    assert scores.settled[2800:3000].all()
    assert scores.adaptation.new_normal is None


def test_a_fault_in_one_regime_that_was_repaired_alarms_again() -> None:
    faulty = running(1500, [0, 1], only_in=[0])
    repaired = running(40, [1, 0], 0.0)

    scores = score(detector(), faulty, repaired, faulty)

    assert scores.settled[:1500].any()
    assert not scores.settled[1540 : 1540 + SETTLE_ROWS].any()


def test_a_regime_that_was_not_seen_meanwhile_ends_it_when_it_is_ordinary() -> None:
    """The fault may have been in that very regime, and its rows nearer to another one."""
    scores = score(detector(), running(900, [0]), running(STEP_ROWS, [2], 0.0), running(100, [0]))

    assert scores.settled[899]
    assert bad(scores)[905:].all()


def test_an_ordinary_regime_that_was_seen_meanwhile_does_not_end_it() -> None:
    scores = score(detector(), running(1500, [0, 1], only_in=[0]), running(200, [1], 0.0))

    assert scores.adaptation.new_normal is not None
    assert_array_equal(scores.adaptation.new_normal.ordinary, [False, True, False])
    assert_array_equal(scores.adaptation.new_normal.clusters, [0])


def test_a_state_that_was_seen_once_only_does_not_become_normal() -> None:
    on_the_way = running(STEP_ROWS, [1])

    scores = score(detector(), running(20, [0]), on_the_way, running(400, [0]))

    assert scores.settled[-1]
    assert scores.adaptation.new_normal is not None
    assert_array_equal(scores.adaptation.new_normal.clusters, [0])


def test_a_new_state_that_came_late_needs_the_whole_time() -> None:
    """What was found an hour ago is not normal because another fault is three days old."""
    scores = score(detector(), running(SETTLE_ROWS - 10, [0]), running(900, [1, 0]))

    assert not scores.settled[: 2 * SETTLE_ROWS - 10].any()
    assert scores.settled[-1]


def test_shifted_regimes_settle_beside_other_ones_unless_it_is_the_same() -> None:
    far = np.array([0.0, 30.0, 0.0])

    # So far the first regime lies beside the second, the third one still beside itself.
    assert score(detector(), running(900, [0, 2], far)).settled[-400:].all()
    assert not score(detector(), running(900, [0, 1], far)).settled.any()


def test_a_state_between_two_regimes_settles_as_one_place() -> None:
    between = np.array([15.0, 0.0, 0.0])

    scores = score(detector(), running(SETTLE_ROWS + 60, [0], between))

    assert scores.settled[-30:].all()


def test_the_shift_is_kept_apart_from_the_drift_that_is_followed() -> None:
    scores = score(detector(), running(3_000, [0, 1], only_in=[0]))

    assert_allclose(scores.adaptation.offset, 0.0, atol=0.1)


def test_a_machine_that_wanders_never_settles() -> None:
    steady = np.linspace(2.0, 40.0, 3_000)[:, np.newaxis] * BOUNDARY * np.array([0.0, 0.0, 1.0])
    rng = np.random.default_rng(0)
    at_random = np.repeat(rng.uniform(5, 60, size=(300, 3)), 10, axis=0)
    through_regimes = REGIMES[np.arange(3_000) // 20 % 3] + steady

    for rows in (steady, at_random, through_regimes):
        scores = score(detector(), rows)
        assert scores.adaptation.new_normal is None
        assert not scores.settled.any()


def test_two_states_by_turns_beside_one_regime_never_settle() -> None:
    rows = [running(10, [0]), running(10, [0], 1.6 * OFFSET)] * 60

    assert not score(detector(), *rows).settled.any()


def test_one_cluster_alone_settles_on_one_place_alone() -> None:
    judge = detector(clusters=REGIMES[:1])
    noise = np.random.default_rng(0).normal(scale=0.3, size=(900, 3))

    assert score(judge, OFFSET + noise).settled[-500:].all()
    assert not score(judge, running(900, [0, 1])).settled.any()
    assert not score(judge, running(900, [0, 1], only_in=[0])).settled.any()


@st.composite
def lives(draw: st.DrawFn) -> tuple[Rows, list[int]]:
    """What a machine of three regimes may go through, and where it is cut."""
    stretch = st.tuples(
        st.sampled_from([5, 40, 200, 700]),
        st.lists(st.sampled_from(EVERY), min_size=1, max_size=3),
        st.sampled_from([0.0, 0.2, 1.0, 1.0, 3.0]),
        st.lists(st.sampled_from(EVERY), min_size=1, max_size=3),
        st.sampled_from([2, 7, 20, 50]),
        st.integers(0, 99),
    )
    parts = [
        running(rows, regimes, size * OFFSET, only_in=only_in, stay_rows=stay, seed=seed)
        for rows, regimes, size, only_in, stay, seed in draw(
            st.lists(stretch, min_size=1, max_size=5)
        )
    ]
    values = np.vstack(parts)
    return values, sorted(draw(st.lists(st.integers(0, len(values)), max_size=5)))


@settings(max_examples=60, deadline=None)
@given(life=lives())
@example(life=(np.vstack([running(700), running(100, [0, 1], only_in=[0])]), [33, 299, 512, 705]))
def test_a_restart_in_the_middle_changes_nothing(life: tuple[Rows, list[int]]) -> None:
    values, cuts = life
    judge = detector()
    times = STEP_MS * np.arange(len(values), dtype=np.int64)
    whole = score(judge, values)

    state = MachineState(window=Window.empty(SENSORS))
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        known = None if state.adapted is None else state.adapted.adaptation
        part, window = judge.score(
            state.window, times[start:stop], values[start:stop], adaptation=known
        )
        parts.append(part)
        after = MachineState(window=window, adapted=Adapted("1", part.adaptation))
        state = decode_state(encode_state(after))

    for name in ("score", "cluster", "settled", "known"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(joined, getattr(whole, name), err_msg=name)
    assert encode_state(MachineState(adapted=state.adapted)) == encode_state(
        MachineState(adapted=Adapted("1", whole.adaptation))
    )


@settings(max_examples=60, deadline=None)
@given(life=lives())
def test_nothing_is_settled_before_its_time_was_seen_beyond_the_boundary(
    life: tuple[Rows, list[int]],
) -> None:
    scores = score(detector(), life[0])

    settled_from = int(scores.settled.argmax()) if scores.settled.any() else len(scores)
    beyond = scores.score[:settled_from] > 1
    assert scores.settled.any() <= (beyond.sum() >= SETTLE_ROWS - STEP_ROWS)
    assert not (scores.settled & (scores.score > 1)).any()
