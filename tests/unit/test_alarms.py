"""The alarm rule: when an episode opens, what it remembers, when it closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from faultline.alarms import (
    AlarmEvent,
    AlarmEventKind,
    AlarmPolicy,
    AlarmState,
    AlarmTracker,
    Source,
    decode,
    encode,
    follow,
    follow_step_by_step,
)
from faultline.verdicts import SensorContribution, Status, Verdict

POLICY = AlarmPolicy(open_bad=3, open_window=5, close_good=4, update_growth=1.5)
SOURCE = Source("pump-1", "pump", "faultline-pump", "1")


def _verdict(position: int, score: float | None) -> Verdict:
    if score is None:
        return Verdict(timestamp_ms=position, status=Status.WARMING_UP)
    bad = score > 1.0
    blamed = (
        (SensorContribution(f"sensor-{score}", 1.0, score, 0.0, -1.0, 1.0, "high"),) if bad else ()
    )
    return Verdict(
        timestamp_ms=position,
        status=Status.FAILURE if bad else Status.NORMAL,
        score=score,
        cluster=0,
        contributions=blamed,
    )


def _settled(position: int) -> Verdict:
    # Against the new level its score is small; were it counted, the alarm would close.
    return Verdict(timestamp_ms=position, status=Status.NEW_NORMAL, score=0.2, cluster=0)


def _follow(scores: Sequence[float | None]) -> tuple[AlarmTracker, list[AlarmEvent]]:
    verdicts = [_verdict(position, score) for position, score in enumerate(scores)]
    return follow(AlarmTracker(), SOURCE, verdicts, POLICY)


def _kinds(events: Sequence[AlarmEvent]) -> list[AlarmEventKind]:
    return [event.kind for event in events]


def test_enough_bad_verdicts_in_the_window_open_an_alarm() -> None:
    _, events = _follow([2.0, 0.5, 2.0, 0.5, 2.0])
    assert _kinds(events) == [AlarmEventKind.OPENED]


def test_bad_verdicts_too_far_apart_open_none() -> None:
    _, events = _follow([2.0, 0.5, 2.0, 0.5, 0.5, 2.0])
    assert events == []


def test_an_alarm_knows_when_it_began_and_when_it_opened() -> None:
    _, (opened,) = _follow([0.5, 2.0, 0.5, 2.0, 2.0])
    assert (opened.alarm.began_at_ms, opened.alarm.opened_at_ms) == (1, 4)
    assert opened.alarm.bad_readings == 3


def test_verdicts_without_a_score_neither_open_nor_close() -> None:
    _, events = _follow([2.0, None, None, None, 2.0, None, 2.0, None, None, None, None])
    assert _kinds(events) == [AlarmEventKind.OPENED]


def test_an_alarm_closes_after_enough_good_verdicts_in_a_row() -> None:
    tracker, events = _follow([2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5, 0.5])
    assert _kinds(events) == [AlarmEventKind.OPENED, AlarmEventKind.CLOSED]
    assert events[1].alarm.state is AlarmState.CLOSED
    assert events[1].alarm.closed_at_ms == 10
    assert events[1].alarm.bad_readings == 4
    assert tracker == AlarmTracker()


def test_an_alarm_remembers_its_worst_moment_and_the_sensors_of_that_moment() -> None:
    _, events = _follow([2.0, 2.0, 2.0, 5.0, 3.0, 0.5, 0.5, 0.5, 0.5])
    closed = events[-1].alarm
    assert (closed.peak_score, closed.peak_at_ms) == (5.0, 3)
    assert closed.top_sensors[0].sensor == "sensor-5.0"


def test_an_alarm_says_why_at_its_worst_moment() -> None:
    _, events = _follow([2.0, 2.0, 2.0, 5.0, 3.0, 0.5, 0.5, 0.5, 0.5])
    assert [event.alarm.why for event in events] == [
        f"pump-1: sensor-{score} {score:g}, expected -1 to 1 (100 % of the deviation)"
        for score in (2.0, 5.0, 5.0)
    ]


def test_an_alarm_of_a_snapshot_without_the_told_peak_goes_on_telling_of_its_worst_moment() -> None:
    tracker, (opened,) = _follow([5.0, 5.0, 5.0])
    restored = structs.replace(tracker, told_peak=AlarmTracker().told_peak)
    later, _ = follow(restored, SOURCE, [_verdict(3, 2.0), _verdict(4, 0.5)], POLICY)
    assert later.alarm is not None
    assert (later.alarm.top_sensors, later.alarm.why) == (
        opened.alarm.top_sensors,
        opened.alarm.why,
    )
    worse, _ = follow(restored, SOURCE, [_verdict(3, 6.0)], POLICY)
    assert worse.alarm is not None
    assert worse.alarm.top_sensors[0].sensor == "sensor-6.0"


def test_an_alarm_without_contributions_says_nothing() -> None:
    bad = [Verdict(timestamp_ms=at, status=Status.FAILURE, score=2.0) for at in range(3)]
    _, (opened,) = follow(AlarmTracker(), SOURCE, bad, POLICY)
    assert opened.alarm.why == ""


def test_a_lasting_new_state_opens_no_alarm() -> None:
    settled = [_settled(at) for at in range(20)]
    assert follow(AlarmTracker(), SOURCE, settled, POLICY) == (AlarmTracker(), [])


def test_a_lasting_new_state_neither_grows_nor_closes_the_alarm_that_is_open() -> None:
    tracker, _ = _follow([2.0, 2.0, 2.0])
    later, events = follow(tracker, SOURCE, [_settled(at) for at in range(3, 30)], POLICY)
    assert (later.alarm, events) == (tracker.alarm, [])


def test_an_alarm_tells_of_what_fails_anew_beside_a_lasting_new_state() -> None:
    tracker, _ = _follow([9.0, 9.0, 9.0])
    tracker, _ = follow(tracker, SOURCE, [_settled(at) for at in range(3, 30)], POLICY)
    anew = [_verdict(at, 2.0) for at in range(30, 36)]
    tracker, events = follow(tracker, SOURCE, anew, POLICY)
    assert _kinds(events) == [AlarmEventKind.UPDATED]
    assert events[0].alarm.updated_at_ms == 32
    assert events[0].alarm.top_sensors[0].sensor == "sensor-2.0"


def test_a_peak_never_falls_when_the_machine_fails_anew_beside_a_lasting_new_state() -> None:
    tracker, _ = _follow([9.0, 9.0, 9.0])
    tracker, _ = follow(tracker, SOURCE, [_settled(at) for at in range(3, 30)], POLICY)
    anew = [_verdict(30 + row, score) for row, score in enumerate([2.0, 2.0, 2.0, 5.0, 12.0])]
    _, events = follow(tracker, SOURCE, anew, POLICY)
    told = [(one.alarm.peak_score, one.alarm.top_sensors[0].sensor) for one in events]
    assert told == [(9.0, "sensor-2.0"), (9.0, "sensor-5.0"), (12.0, "sensor-12.0")]
    assert [one.alarm.peak_at_ms for one in events] == [events[0].alarm.peak_at_ms] * 2 + [34]


def test_an_alarm_closes_after_a_lasting_new_state_once_the_machine_is_well() -> None:
    tracker, _ = _follow([2.0, 2.0, 2.0])
    tracker, _ = follow(tracker, SOURCE, [_settled(at) for at in range(3, 30)], POLICY)
    well = [_verdict(at, 0.5) for at in range(30, 34)]
    _, events = follow(tracker, SOURCE, well, POLICY)
    assert _kinds(events) == [AlarmEventKind.CLOSED]


def test_an_open_alarm_is_published_again_when_its_peak_has_grown_enough() -> None:
    _, events = _follow([2.0, 2.0, 2.0, 2.9, 3.0, 4.4, 4.5])
    assert _kinds(events) == [
        AlarmEventKind.OPENED,
        AlarmEventKind.UPDATED,
        AlarmEventKind.UPDATED,
    ]
    assert [event.alarm.peak_score for event in events] == [2.0, 3.0, 4.5]


def test_a_second_episode_is_another_alarm() -> None:
    episode = [2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]
    _, events = _follow([*episode, *episode])
    assert len({event.alarm.alarm_id for event in events}) == 2


def test_the_same_verdicts_give_the_same_ids() -> None:
    scores = [2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]
    assert _follow(scores) == _follow(scores)


def test_an_event_survives_the_wire() -> None:
    _, (event,) = _follow([2.0, 2.0, 2.0])
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "policy",
    [
        {"open_bad": 0},
        {"open_bad": 11, "open_window": 10},
        {"close_good": 0},
        {"update_growth": 1.0},
    ],
)
def test_a_policy_that_cannot_work_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"alarm policy|update_growth"):
        AlarmPolicy(**policy)


@given(
    st.lists(st.sampled_from([None, 0.5, 0.9, 1.1, 2.0, 6.0]), max_size=80),
    st.sets(st.integers(0, 80)),
)
def test_the_short_cut_gives_what_the_rule_gives_step_by_step(
    scores: list[float | None], cuts: set[int]
) -> None:
    verdicts = [_verdict(position, score) for position, score in enumerate(scores)]
    scored = [verdict for verdict in verdicts if verdict.score is not None]
    expected = follow_step_by_step(AlarmTracker(), SOURCE, scored, POLICY)

    tracker, events = AlarmTracker(), list[AlarmEvent]()
    start = 0
    for end in [*sorted(cuts), len(verdicts)]:
        tracker, more = follow(tracker, SOURCE, verdicts[start:end], POLICY)
        events += more
        start = max(start, end)
    assert (tracker, events) == expected
