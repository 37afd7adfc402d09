"""However a machine's stream is cut, and through whatever snapshots it goes, nothing changes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.alarms import AlarmEvent, AlarmPolicy
from faultline.detector import Adaptation, Detector, Scores, Window
from faultline.detector.adaptation import AdaptationRule
from faultline.detector.health import HealthLimits
from faultline.judge import Model, judge
from faultline.machine_state import Adapted, MachineState, decode_state, encode_state
from faultline.readings import Reading
from faultline.verdicts import Verdict

Rows = NDArray[np.float64]
SENSORS = ("flow", "heat", "room")
MACHINE = "pump-1"
STEP_MS = 1_000
COVARIANCE = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, 0.1], [0.2, 0.1, 1.5]])
SCORED = ("state", "score", "cluster", "known", "settled", "sensor_fault")


def detector(*, window_rows: int, covariance: bool, slow: bool) -> Detector:
    """Everything that remembers: a window, a baseline, drift, lasting states, slow sensors."""
    return Detector(
        sensors=SENSORS,
        window_rows=window_rows,
        max_gap_ms=20 * STEP_MS,
        centre=np.array([1.0, 2.0, 3.0]),
        scale=np.array([0.5, 1.0, 2.0]),
        spread=np.ones(3),
        clusters=np.array([[0.0, 0.0, 0.0], [20.0, 20.0, 0.0]]),
        boundary=3.0,
        unknown_score=2.0,
        covariance=COVARIANCE if covariance else np.zeros((0, 0)),
        machines=(MACHINE,),
        baselines=np.array([[0.3, -0.2, 0.1]]),
        between=np.full(3, 0.5),
        speed=np.array([0.0, 0.0, 0.05]) if slow else np.zeros(0),
        rule=AdaptationRule(step_rows=7, follow_rows=100, settle_ms=40 * STEP_MS),
        limits=HealthLimits(
            low=np.full(3, -300.0),
            high=np.full(3, 300.0),
            longest_run=np.full(3, 4),
            longest_silence=np.full(3, 4),
        ),
    )


class Stream(NamedTuple):
    times: NDArray[np.int64]
    values: Rows
    cuts: list[int]

    def parts(self) -> list[slice]:
        edges = [0, *self.cuts, len(self.times)]
        return [slice(*pair) for pair in pairwise(edges)]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Stretches of ordinary and lasting faulty running, in one or two regimes, with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stretch = st.tuples(
        st.sampled_from([0.0, 0.0, 1.5, 8.0, 8.0, 20.0, 1e6]),
        st.sampled_from([None, None, 8, 25]),
        st.sampled_from([1, 5, 20, 90]),
        st.sampled_from(["noise", "noise", "holes", "silence", "stuck"]),
        st.sampled_from([STEP_MS, STEP_MS, 60 * STEP_MS]),
    )
    values, steps = [], []
    for place, alternates_rows, rows, kind, gap_ms in draw(
        st.lists(stretch, min_size=1, max_size=5)
    ):
        own = np.array([1.0, 2.0, 3.0]) + rng.normal(scale=0.3, size=(rows, 3))
        own[:, 0] += place
        if alternates_rows:
            own += np.outer(np.arange(rows) // alternates_rows % 2, [10.0, 20.0, 0.0])
        if kind == "holes":
            own[rng.random((rows, 3)) < 0.4] = np.nan
        elif kind == "silence":
            own[:, int(rng.integers(3))] = np.nan
        elif kind == "stuck":
            own[:, int(rng.integers(3))] = 2.5
        values.append(own)
        steps += [gap_ms, *[STEP_MS] * (rows - 1)]
    n = len(steps)
    cuts = draw(st.lists(st.integers(0, n), max_size=6))
    return Stream(np.cumsum(np.array(steps, dtype=np.int64)), np.vstack(values), sorted(cuts))


def through_a_snapshot(window: Window, adaptation: Adaptation) -> MachineState:
    state = MachineState(window=window, adapted=Adapted("1", adaptation))
    return decode_state(encode_state(state))


def learnt(adaptation: Adaptation) -> bytes:
    """What was learnt, as bytes: equal when every bit is."""
    return encode_state(MachineState(adapted=Adapted("1", adaptation)))


def in_parts(judge_by: Detector, stream: Stream) -> list[Scores]:
    """Score part by part, forgetting between them all that no snapshot keeps."""
    window, adaptation = Window.empty(SENSORS), None
    parts = []
    for rows in stream.parts():
        scores, window = judge_by.score(
            window,
            stream.times[rows],
            stream.values[rows],
            machine_id=MACHINE,
            adaptation=adaptation,
        )
        parts.append(scores)
        state = through_a_snapshot(window, scores.adaptation)
        assert state.adapted is not None
        window, adaptation = state.window, state.adapted.adaptation
    return parts


def a_sensor_that_comes_late() -> Stream:
    """The room's values begin in the middle of a step, and a cut lies between there and it."""
    values = np.tile([1.0, 2.0, 3.0], (30, 1)) + np.linspace(0, 1, 90).reshape(30, 3)
    values[:8, 2] = np.nan
    return Stream(STEP_MS * np.arange(1, 31, dtype=np.int64), values, [10])


def an_infinite_value() -> Stream:
    """The flow is beyond the boundary and once infinite; a cut lies right behind that."""
    values = np.tile([9.0, 2.0, 3.0], (30, 1)) + np.linspace(0, 0.1, 90).reshape(30, 3)
    values[20, 0] = np.inf
    return Stream(STEP_MS * np.arange(1, 31, dtype=np.int64), values, [21])


@pytest.mark.parametrize("slow", [False, True], ids=["steady", "slow"])
@pytest.mark.parametrize("covariance", [False, True], ids=["euclidean", "covariance"])
@pytest.mark.parametrize("window_rows", [1, 6])
@settings(max_examples=30, deadline=None)
@given(stream=streams())
@example(stream=a_sensor_that_comes_late())
@example(stream=an_infinite_value())
def test_scores_are_the_same_however_the_stream_is_cut(
    window_rows: int, covariance: bool, slow: bool, stream: Stream
) -> None:
    judge_by = detector(window_rows=window_rows, covariance=covariance, slow=slow)
    whole = in_parts(judge_by, stream._replace(cuts=[]))[0]

    parts = in_parts(judge_by, stream)

    for name in SCORED:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(joined, getattr(whole, name), err_msg=name)
    assert learnt(parts[-1].adaptation) == learnt(whole.adaptation)


@settings(max_examples=40, deadline=None)
@given(stream=streams())
def test_a_rows_contributions_are_the_same_however_the_stream_is_cut(stream: Stream) -> None:
    judge_by = detector(window_rows=6, covariance=True, slow=False)
    whole = in_parts(judge_by, stream._replace(cuts=[]))[0]
    parts = in_parts(judge_by, stream)

    said = [judge_by.explain_rows(part, np.flatnonzero(np.isfinite(part.score))) for part in parts]

    scored = np.flatnonzero(np.isfinite(whole.score))
    assert [row for part in said for row in part] == judge_by.explain_rows(whole, scored)


@pytest.mark.parametrize("slow", [False, True], ids=["steady", "slow"])
@settings(max_examples=40, deadline=None)
@given(stream=streams())
def test_statuses_and_alarms_are_the_same_however_the_stream_is_cut(
    slow: bool, stream: Stream
) -> None:
    model = Model("pump", "1", detector(window_rows=6, covariance=True, slow=slow))
    readings = [
        Reading(
            machine_id=MACHINE,
            timestamp_ms=at_ms,
            sensors={
                name: None if np.isnan(value) else value
                for name, value in zip(SENSORS, row, strict=True)
            },
        )
        for at_ms, row in zip(stream.times.tolist(), stream.values.tolist(), strict=True)
    ]
    policy = AlarmPolicy(open_bad=3, open_window=5, close_good=4)
    whole = judge(model, None, readings, policy)

    state: MachineState | None = None
    verdicts: list[Verdict] = []
    events: list[AlarmEvent] = []
    for rows in stream.parts():
        if not readings[rows]:
            continue
        part = judge(model, state, readings[rows], policy)
        verdicts += part.batch.verdicts
        events += part.alarm_events
        state = decode_state(encode_state(part.state))

    assert verdicts == list(whole.batch.verdicts)
    assert events == list(whole.alarm_events)
