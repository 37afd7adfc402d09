"""Judging one machine's readings: statuses, alarms, and that no cut of the stream shows."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.alarms import AlarmEvent, AlarmEventKind, AlarmPolicy
from faultline.detector import Detector
from faultline.detector.adaptation import AdaptationRule
from faultline.detector.health import HealthLimits
from faultline.judge import EVERYTHING, KEPT_ROWS, MAX_CELLS, Judgement, Model, judge
from faultline.machine_state import MachineState, decode_state, encode_state
from faultline.readings import MAX_SENSORS, Reading, make_reading
from faultline.rows import MAX_LATE_ROWS
from faultline.verdicts import Reason, Status, Verdict

POLICY = AlarmPolicy(open_bad=2, open_window=4, close_good=3)
STEP_MS = 1_000


def _model(
    sensors: tuple[str, ...] = ("flow", "heat"), window_rows: int = 3, version: str = "1"
) -> Model:
    d = len(sensors)
    detector = Detector(
        sensors=sensors,
        window_rows=window_rows,
        max_gap_ms=20 * STEP_MS,
        centre=np.zeros(d),
        scale=np.ones(d),
        spread=np.ones(d),
        clusters=np.array([np.zeros(d), np.full(d, 4.0)]),
        boundary=2.0,
        unknown_score=2.0,
    )
    return Model("faultline-pump", version, detector)


def _reading(position: int, **sensors: float | None) -> Reading:
    return make_reading("pump-1", position * STEP_MS, dict(sensors), "pump")


def _rows(values: Sequence[float | None], start: int = 0) -> list[Reading]:
    return [_reading(start + i, flow=value, heat=value) for i, value in enumerate(values)]


def _statuses(judgement: Judgement) -> list[Status]:
    return [verdict.status for verdict in judgement.batch.verdicts]


def test_without_a_model_every_reading_is_answered_no_model() -> None:
    judgement = judge(None, None, _rows([0.0, 1.0]), POLICY)
    assert _statuses(judgement) == [Status.NO_MODEL, Status.NO_MODEL]
    assert judgement.batch.model_version is None


def test_the_first_model_scores_at_once_from_the_rows_kept_before_it() -> None:
    before = judge(None, None, _rows([0.0] * 2), POLICY)
    judgement = judge(_model(window_rows=3), before.state, _rows([0.0], start=2), POLICY)
    assert _statuses(judgement) == [Status.NORMAL]


def test_a_machine_warms_up_for_one_window_less_a_row() -> None:
    judgement = judge(_model(window_rows=3), None, _rows([0.0] * 4), POLICY)
    assert _statuses(judgement) == [
        Status.WARMING_UP,
        Status.WARMING_UP,
        Status.NORMAL,
        Status.NORMAL,
    ]


def test_a_score_above_the_boundary_is_a_failure() -> None:
    verdict = judge(_model(window_rows=1), None, _rows([-2.0]), POLICY).batch.verdicts[0]
    assert verdict.score == pytest.approx(math.sqrt(2.0))
    assert verdict.status is Status.FAILURE


def test_a_score_of_exactly_the_boundary_is_normal() -> None:
    reading = [_reading(0, flow=-2.0, heat=0.0)]
    verdict = judge(_model(window_rows=1), None, reading, POLICY).batch.verdicts[0]
    assert verdict.score == 1.0
    assert verdict.status is Status.NORMAL


def test_verdicts_name_the_version_that_gave_them() -> None:
    batch = judge(_model(version="7"), None, _rows([0.0]), POLICY).batch
    assert (batch.model_name, batch.model_version) == ("faultline-pump", "7")


def test_a_reading_sent_twice_is_a_duplicate_whatever_its_values() -> None:
    readings = [*_rows([0.0, 0.0]), _reading(0, flow=9.0, heat=9.0)]
    assert _statuses(judge(None, None, readings, POLICY))[2] is Status.DUPLICATE


def test_a_reading_older_than_the_last_is_late() -> None:
    readings = [_reading(0, flow=0.0), _reading(5, flow=0.0), _reading(3, flow=0.0)]
    assert _statuses(judge(None, None, readings, POLICY))[2] is Status.LATE


def test_a_duplicate_of_a_row_no_longer_kept_is_late() -> None:
    readings = [*_rows([0.0] * (KEPT_ROWS + 1)), _reading(0, flow=0.0), _reading(1, flow=0.0)]
    assert _statuses(judge(None, None, readings, POLICY))[-2:] == [Status.LATE, Status.DUPLICATE]


def test_a_clock_that_was_ahead_blinds_a_machine_for_a_bounded_time() -> None:
    state = judge(_model(), None, [*_rows([0.0] * 3), _reading(10**6, flow=0.0)], POLICY).state
    after = judge(_model(), state, _rows([0.0] * (MAX_LATE_ROWS + 3), start=3), POLICY)
    assert _statuses(after) == [
        *[Status.LATE] * MAX_LATE_ROWS,
        Status.WARMING_UP,
        Status.WARMING_UP,
        Status.NORMAL,
    ]


def test_late_readings_between_those_that_are_not_never_give_up_the_window() -> None:
    late = [_reading(i, flow=0.0, heat=0.0) for i in range(2 * MAX_LATE_ROWS)]
    live = _rows([0.0] * len(late), start=10**6)
    mixed = [each for pair in zip(live, late, strict=True) for each in pair]
    state = judge(_model(), None, mixed, POLICY).state
    assert state.window.timestamps_ms[-1] == live[-1].timestamp_ms


def test_late_readings_that_go_back_in_time_again_never_give_up_the_window() -> None:
    state = judge(_model(), None, [_reading(10**6, flow=0.0)], POLICY).state
    again = _rows([0.0] * (MAX_LATE_ROWS - 1)) * 3
    state = judge(_model(), state, again, POLICY).state
    assert state.window.timestamps_ms.tolist() == [10**6 * STEP_MS]


def test_however_late_readings_are_cut_the_window_begins_anew_at_the_same_one() -> None:
    late = _rows([0.0] * (2 * MAX_LATE_ROWS + 9), start=5)
    readings = [_reading(10**6, flow=0.0, heat=0.0), *late, _reading(10**6, flow=0.0), *late]
    whole, _, state = _run((_model(),), readings, set(), restore=False)
    cuts = {40, MAX_LATE_ROWS, MAX_LATE_ROWS + 1, MAX_LATE_ROWS + 2, 300}
    pieces, _, piece_state = _run((_model(),), readings, cuts, restore=True)
    assert pieces == whole
    assert encode_state(piece_state) == encode_state(state)


def test_late_and_duplicate_readings_leave_the_window_and_the_alarms_as_they_were() -> None:
    state = judge(_model(), None, [_reading(0, flow=0.0), _reading(4, flow=0.0)], POLICY).state
    after = judge(_model(), state, [_reading(0, flow=7.0), _reading(2, extra=1.0)], POLICY).state
    assert encode_state(replace(after, late=state.late)) == encode_state(state)


def test_a_sensor_that_the_model_uses_and_the_reading_lacks_is_named_missing() -> None:
    reading = [_reading(0, flow=0.0, other=1.0)]
    verdict = judge(_model(window_rows=1), None, reading, POLICY).batch.verdicts[0]
    assert verdict.health == {"heat": "missing"}


def test_a_sensor_that_the_model_does_not_use_is_not_named_missing() -> None:
    reading = [_reading(0, flow=0.0, heat=0.0, other=None)]
    verdict = judge(_model(window_rows=1), None, reading, POLICY).batch.verdicts[0]
    assert verdict.health == {}


def test_too_few_sensors_are_insufficient_data() -> None:
    reading = [_reading(0, other=1.0)]
    assert _statuses(judge(_model(window_rows=1), None, reading, POLICY)) == [
        Status.INSUFFICIENT_DATA
    ]


def test_contributions_come_near_the_boundary_only() -> None:
    model = _model(window_rows=1)
    readings = [_reading(0, flow=-1.5, heat=0.0), _reading(1, flow=-1.7, heat=0.0)]
    far, near = judge(model, None, readings, POLICY).batch.verdicts
    assert far.contributions == ()
    assert [part.sensor for part in near.contributions] == ["flow", "heat"]


def test_every_scored_reading_can_be_explained_on_demand() -> None:
    model = _model(window_rows=1)
    verdict = judge(model, None, _rows([0.1]), POLICY, EVERYTHING).batch.verdicts[0]
    assert sum(part.share for part in verdict.contributions) == pytest.approx(1.0)


def test_only_the_ten_largest_contributions_are_published_with_their_true_shares() -> None:
    sensors = tuple(f"s{i:02d}" for i in range(20))
    reading = make_reading("pump-1", 0, dict.fromkeys(sensors, -3.0), "pump")
    verdict = judge(_model(sensors, window_rows=1), None, [reading], POLICY).batch.verdicts[0]
    assert [round(part.share, 9) for part in verdict.contributions] == [0.05] * 10


def test_windows_carry_over_to_a_model_with_other_sensors() -> None:
    readings = [_reading(i, flow=0.0, heat=0.0, speed=0.0) for i in range(3)]
    state = judge(_model(("flow",)), None, readings, POLICY).state
    new = _model(("speed", "heat"), version="2")
    judgement = judge(new, state, [_reading(3, flow=0.0, heat=0.0, speed=0.0)], POLICY)
    assert judgement.batch.verdicts[0] == Verdict(
        timestamp_ms=3 * STEP_MS, status=Status.NORMAL, score=0.0, cluster=0
    )


def test_an_open_alarm_outlives_the_model_that_opened_it() -> None:
    opened = judge(_model(window_rows=1), None, _rows([-9.0, -9.0]), POLICY)
    closed = judge(
        _model(window_rows=1, version="2"), opened.state, _rows([0.0] * 3, start=2), POLICY
    )
    assert opened.alarm_events[0].kind is AlarmEventKind.OPENED
    assert closed.alarm_events[0].kind is AlarmEventKind.CLOSED
    assert closed.alarm_events[0].alarm.alarm_id == opened.alarm_events[0].alarm.alarm_id


def test_the_columns_of_a_machine_that_goes_on_naming_new_sensors_stay_bounded() -> None:
    readings = [
        make_reading("pump-1", i, {f"s{i}-{j}": 1.0 for j in range(MAX_SENSORS // 4)}, "pump")
        for i in range(40)
    ]
    state = judge(None, None, readings, POLICY).state
    assert len(state.window.sensors) == MAX_SENSORS
    assert state.window.sensors[-1] == f"s39-{MAX_SENSORS // 4 - 1}"


def test_many_readings_that_each_name_another_sensor_take_no_table_of_all_of_them() -> None:
    readings = [make_reading("pump-1", i, {f"s{i % 2_000}": 1.0}, "pump") for i in range(5_000)]
    tracemalloc.start()
    try:
        judgement = judge(None, None, readings, POLICY)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(judgement.batch.verdicts) == len(readings)
    # The cells as float64, and about as much again three times on the way there.
    assert peak_bytes < 4 * 8 * MAX_CELLS


def test_a_sensor_that_is_gone_from_the_rows_kept_is_forgotten() -> None:
    state = judge(None, None, [_reading(0, old=1.0, flow=1.0)], POLICY).state
    state = judge(None, state, _rows([1.0] * KEPT_ROWS, start=1), POLICY).state
    assert state.window.sensors == ("flow", "heat")


# What is learnt of a machine while it is judged --------------------------------------------------


def _adaptive(version: str = "1") -> Model:
    model = _model(window_rows=1, version=version)
    rule = AdaptationRule(step_rows=2, follow_rows=8, settle_ms=20 * STEP_MS)
    tracked = np.array([0.0, 0.5])
    return replace(model, detector=replace(model.detector, rule=rule, speed=tracked))


def test_a_batch_of_late_and_doubled_readings_alone_moves_nothing_that_was_learnt() -> None:
    state = judge(_adaptive(), None, _rows([0.5] * 5, start=5), POLICY).state
    again = judge(_adaptive(), state, [*_rows([9.0], start=7), *_rows([9.0], start=1)], POLICY)
    assert _statuses(again) == [Status.DUPLICATE, Status.LATE]
    assert again.alarm_events == []
    assert state.adapted is not None
    assert state.adapted.adaptation.offset.any()
    assert encode_state(replace(again.state, late=state.late)) == encode_state(state)


def test_late_and_doubled_readings_in_between_move_nothing_that_was_learnt() -> None:
    clean = _rows([0.5] * 12)
    noisy = [*clean[:3], *_rows([9.0]), *clean[3:7], *_rows([-9.0], start=2), *clean[7:]]
    one, other = (judge(_adaptive(), None, rows, POLICY).state.adapted for rows in (clean, noisy))
    assert one is not None
    assert other is not None
    assert one.adaptation.rows == other.adaptation.rows == 12
    np.testing.assert_array_equal(one.adaptation.offset, other.adaptation.offset)


def test_another_version_begins_with_nothing_learnt() -> None:
    state = judge(_adaptive(), None, _rows([0.5] * 8), POLICY).state
    fresh = judge(_adaptive("2"), state, _rows([0.5], start=8), POLICY).batch.verdicts[0]
    learnt = judge(_adaptive("1"), state, _rows([0.5], start=8), POLICY).batch.verdicts[0]
    # Of heat, whose level is tracked, nothing is known yet that it could be off from.
    assert fresh.score == pytest.approx(0.5 / 2)
    assert 0.0 < (learnt.score or 0.0) < (fresh.score or 0.0)


def test_a_state_that_lasts_becomes_the_new_normal_and_its_alarm_stays() -> None:
    readings = _rows([0.0] * 4 + [-9.0] * 60)
    judgement = judge(_adaptive(), None, readings, POLICY)
    statuses = _statuses(judgement)
    assert statuses[10] is Status.FAILURE
    assert statuses[-1] is Status.NEW_NORMAL
    assert [event.kind for event in judgement.alarm_events] == [AlarmEventKind.OPENED]
    alarm = judgement.state.alarms.alarm
    assert alarm is not None
    assert alarm.bad_readings == statuses.count(Status.FAILURE)


def test_a_failure_by_a_sensor_out_of_its_range_alone_names_that_as_the_reason() -> None:
    model = _model(window_rows=1)
    limits = HealthLimits(
        low=np.full(2, -5.0),
        high=np.full(2, 9.0),
        longest_run=np.full(2, 1_000),
        longest_silence=np.full(2, 1_000),
    )
    model = replace(model, detector=replace(model.detector, limits=limits))
    readings = [_reading(0, flow=0.0, heat=-99.0), _reading(1, flow=-3.0, heat=-3.0)]
    broken, failing = judge(model, None, readings, POLICY).batch.verdicts
    assert (broken.status, broken.reason) == (Status.FAILURE, Reason.SENSOR_FAULT)
    assert broken.health == {"heat": "out_of_range"}
    assert (failing.status, failing.reason) == (Status.FAILURE, None)


def test_a_machine_that_was_trained_on_is_judged_by_its_own_baseline() -> None:
    model = _model(window_rows=1)
    known = replace(model.detector, machines=("pump-1",), baselines=np.array([[-3.0, -3.0]]))
    verdict = judge(replace(model, detector=known), None, _rows([-3.0]), POLICY).batch.verdicts[0]
    assert (verdict.status, verdict.score) == (Status.NORMAL, 0.0)


# However the stream is cut -------------------------------------------------------------------

_values = st.one_of(
    st.none(),
    st.floats(-1.0, 1.0),
    st.sampled_from([0.0, -9.0, 4.0, 1e100, -1e100]),
)
_readings = st.lists(
    st.tuples(
        st.integers(-3, 30).map(lambda step: 1 if step > 3 else step),  # mostly one step on
        st.dictionaries(st.sampled_from(["flow", "heat", "speed"]), _values, min_size=1),
    ),
    min_size=1,
    max_size=60,
)


def _stream(steps: Sequence[tuple[int, dict[str, float | None]]]) -> list[Reading]:
    at, readings = 100, []
    for step, sensors in steps:
        at += 30 if step == 3 else step
        readings.append(make_reading("pump-1", at * STEP_MS, sensors, "pump"))
    return readings


def _run(
    models: Sequence[Model | None], readings: Sequence[Reading], cuts: set[int], restore: bool
) -> tuple[list[Verdict], list[AlarmEvent], MachineState]:
    """Judge in the pieces between `cuts`; the models take turns at fixed readings."""
    verdicts: list[Verdict] = []
    events: list[AlarmEvent] = []
    state = MachineState()
    turn = max(1, -(-len(readings) // len(models)))
    ends = sorted({*cuts, *range(turn, len(readings), turn), len(readings)} - {0})
    start = 0
    for end in ends:
        piece = judge(models[start // turn], state, readings[start:end], POLICY)
        verdicts += piece.batch.verdicts
        events += piece.alarm_events
        state = decode_state(encode_state(piece.state)) if restore else piece.state
        start = end
    return verdicts, events, state


MODELS = (None, _model(), _adaptive(), _model(("speed", "flow"), window_rows=5, version="2"))


@settings(max_examples=150, deadline=None)
@given(_readings, st.sets(st.integers(1, 59)))
def test_cutting_and_restoring_anywhere_changes_nothing(
    steps: list[tuple[int, dict[str, float | None]]], cuts: set[int]
) -> None:
    readings = _stream(steps)
    cuts = {cut for cut in cuts if cut < len(readings)}
    whole, whole_events, _ = _run(MODELS, readings, set(), restore=False)
    pieces, piece_events, _ = _run(MODELS, readings, cuts, restore=True)

    assert [verdict.status for verdict in pieces] == [verdict.status for verdict in whole]
    assert [verdict.score for verdict in pieces] == [
        None if verdict.score is None else pytest.approx(verdict.score, rel=1e-9)
        for verdict in whole
    ]
    assert [(event.event_id, event.kind) for event in piece_events] == [
        (event.event_id, event.kind) for event in whole_events
    ]
    assert [event.alarm.peak_score for event in piece_events] == [
        pytest.approx(event.alarm.peak_score, rel=1e-9) for event in whole_events
    ]


def test_cells_are_filled_from_a_cycle_before_however_long_the_window() -> None:
    rows = 80
    assert 2 * rows > KEPT_ROWS
    model = _model(window_rows=rows)
    filling = replace(model, detector=replace(model.detector, change=np.full(2, 0.01)))
    swing = [math.sin(2 * math.pi * i / rows) for i in range(3 * rows)]
    readings = _rows([None if i == 2 * rows else value for i, value in enumerate(swing)])
    whole, _, _ = _run((filling,), readings, set(), restore=False)
    pieces, _, _ = _run((filling,), readings, {2 * rows + 60}, restore=True)
    assert [verdict.score for verdict in pieces] == [verdict.score for verdict in whole]


def test_one_by_one_gives_the_same_alarms_as_all_at_once() -> None:
    readings = _rows([0.0] * 10 + [-9.0] * 5 + [0.0] * 10 + [-20.0] * 3 + [0.0] * 5)
    models = (_model(),)
    _, whole, _ = _run(models, readings, set(), restore=False)
    _, single, _ = _run(models, readings, set(range(1, len(readings))), restore=True)
    assert [event.kind for event in whole] == [
        AlarmEventKind.OPENED,
        AlarmEventKind.UPDATED,
        AlarmEventKind.CLOSED,
        AlarmEventKind.OPENED,
        AlarmEventKind.UPDATED,
        AlarmEventKind.CLOSED,
    ]
    assert single == whole


def test_what_one_type_has_taught_of_a_machine_is_not_used_for_another() -> None:
    rule = AdaptationRule(step_rows=1, follow_rows=10, settle_ms=0)
    model = next(model for model in MODELS if model is not None)
    pump = replace(model, name="pump", detector=replace(model.detector, rule=rule))
    valve = replace(pump, name="valve")
    sensors = pump.detector.sensors
    readings = [
        make_reading("m", 1_000 * row, dict.fromkeys(sensors, 0.1), "pump") for row in range(20)
    ]
    later = [
        make_reading("m", 1_000 * row, dict.fromkeys(sensors, 0.1), "valve")
        for row in range(20, 25)
    ]

    first = judge(pump, None, readings, POLICY)
    second = judge(valve, first.state, later, POLICY)

    assert first.state.adapted is not None
    assert second.state.adapted is not None
    assert second.state.adapted.adaptation.rows == len(later)
