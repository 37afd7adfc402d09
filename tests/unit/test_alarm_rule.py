from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from faultline.alarm_rule import alarm_rule, alarms_opened
from faultline.alarms import AlarmPolicy

NAN = float("nan")


def open_rows(scores: list[float], policy: AlarmPolicy | None = None) -> list[int]:
    rule = alarm_rule(policy or AlarmPolicy())
    return np.flatnonzero(rule.is_open(np.array(scores))).tolist()


def test_an_alarm_opens_at_the_sixth_bad_row_of_ten_and_closes_at_the_tenth_good_one() -> None:
    scores = [0.5] * 5 + [2.0] * 6 + [0.5] * 20

    assert open_rows(scores) == list(range(10, 20))


def test_an_alarm_that_does_not_close_stays_open() -> None:
    assert open_rows([0.5] * 5 + [2.0] * 6 + [0.5] * 9) == list(range(10, 20))


def test_rows_without_a_score_neither_open_nor_close() -> None:
    assert open_rows([NAN] * 3 + [2.0] * 3 + [NAN] * 50 + [2.0] * 3) == [58]


def test_nothing_opens_without_rows() -> None:
    assert open_rows([]) == []


def test_alarms_far_into_a_long_history_are_found() -> None:
    scores = np.full(5_000, 0.5)
    scores[2_995:3_005] = 2.0

    assert open_rows(scores.tolist())[0] == 3_000


def test_alarms_are_counted_by_their_openings() -> None:
    episode = [2.0] * 6 + [0.5] * 10
    assert alarms_opened(np.array([*episode, *episode, *[2.0] * 6, NAN]), AlarmPolicy()) == 3
    assert alarms_opened(np.array([0.5, 2.0, NAN]), AlarmPolicy()) == 0


@given(st.lists(st.sampled_from([0.5, 2.0, NAN]), max_size=60), st.integers(1, 4))
def test_the_rule_asks_for_so_many_bad_of_the_last_rows(scores: list[float], bad: int) -> None:
    policy = AlarmPolicy(open_bad=bad, open_window=4, close_good=3)

    found = open_rows(scores, policy)

    recent: list[bool] = []
    is_open, expected = False, []
    for row, score in enumerate(scores):
        if score == score:
            recent.append(score > 1)
            if is_open and not any(recent[-3:]) and len(recent) >= 3:
                is_open, recent = False, []
            elif sum(recent[-4:]) >= bad:
                is_open = True
        if is_open:
            expected.append(row)
    assert found == expected
