"""The alarm rule as the benchmarks apply it."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from bench.outcome import Outcome, judged, under_the_alarm_rule
from bench.recordings import Recording
from faultline.detector import MachineHistory
from faultline.detector.fit import fit


def outcome_of(bad: str, scored: str | None = None) -> Outcome:
    """One row per character; 1 is yes."""
    flags = np.array([character == "1" for character in bad])
    has_score = np.array([character == "1" for character in scored or "1" * len(bad)])
    return under_the_alarm_rule(1_000 * np.arange(len(bad), dtype=np.int64), flags, has_score)


def test_an_alarm_opens_at_the_sixth_bad_of_ten_and_closes_at_the_tenth_good() -> None:
    outcome = outcome_of("0001101111" + "0" * 12)

    assert outcome.opened == (9,)
    assert_array_equal(np.flatnonzero(outcome.alarm), np.arange(9, 19))


def test_an_alarm_that_never_closes_is_open_to_the_end() -> None:
    outcome = outcome_of("00" + "1" * 8)

    assert_array_equal(np.flatnonzero(outcome.alarm), [7, 8, 9])


def test_rows_without_a_score_neither_alarm_nor_count_for_the_rule() -> None:
    outcome = outcome_of("111111" + "111111", scored="000000" + "111111")

    assert outcome.opened == (11,)
    assert not outcome.bad[:6].any()


def test_leaving_out_rows_keeps_the_alarm_that_is_open_and_shifts_later_openings() -> None:
    outcome = outcome_of("1" * 8 + "0" * 10 + "1" * 8).after(7)

    assert outcome.alarm[0]
    assert outcome.opened == (16,)


def test_the_rule_on_scores_says_what_the_predictor_says() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1_200, 3))
    values[700:760] += 4.0
    values[900:1_000, 0] += np.where(rng.random(100) < 0.5, 9.0, 0.0)
    times = 1_000 * np.arange(len(values), dtype=np.int64)
    sensors = ("a", "b", "c")
    detector = fit(sensors, [MachineHistory("m", times[:600], values[:600])]).detector
    recording = Recording("m", "g", sensors, times, values, np.full(len(values), ""))

    said = judged(detector, recording.rows(slice(600, None)))
    by_rule = under_the_alarm_rule(times[600:], said.score > 1.0, np.isfinite(said.score))

    assert len(said.outcome.opened) >= 1
    assert said.outcome.opened == by_rule.opened
    assert_array_equal(said.outcome.alarm, by_rule.alarm)
    assert_array_equal(said.outcome.bad, by_rule.bad)
    assert said.top_sensors[int(np.nanargmax(said.score))]
