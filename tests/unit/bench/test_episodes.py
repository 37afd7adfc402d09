"""Alarms against labelled faults, by hand. Rows are two seconds apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bench.episodes import fault_figures, fault_spans, healthy_figures, healthy_rows
from bench.outcome import Outcome
from bench.recordings import Recording


def recording_of(fault: Sequence[str]) -> Recording:
    rows = len(fault)
    return Recording(
        name="file",
        group="group",
        sensors=("flow",),
        timestamps_ms=2_000 * np.arange(rows, dtype=np.int64),
        values=np.zeros((rows, 1)),
        fault=np.array(fault),
    )


def outcome(rows: int, *open_spans: tuple[int, int], bad: tuple[int, ...] = ()) -> Outcome:
    alarm, flags = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    for start, end in open_spans:
        alarm[start:end] = True
    flags[list(bad)] = True
    return Outcome(flags, alarm, tuple(start for start, _ in open_spans))


def test_runs_of_a_label_are_faults_with_their_ends() -> None:
    fault = np.array(["", "a", "a", "b", "", "b"])

    assert fault_spans(fault) == [("a", 1, 3), ("b", 3, 4), ("b", 5, 6)]


def test_the_delay_runs_from_the_faults_first_row_to_the_alarm() -> None:
    recording = recording_of([""] * 10 + ["leak"] * 10)

    (found,) = fault_figures(recording, outcome(20, (13, 20), bad=(12, 13, 14, 15, 16)))

    assert found.delay_s == pytest.approx(6.0)
    assert found.carried_from is None
    assert found.bad_share == pytest.approx(0.5)


def test_without_an_alarm_a_fault_is_missed() -> None:
    recording = recording_of([""] * 10 + ["leak"] * 10)

    (found,) = fault_figures(recording, outcome(20, (2, 6)))

    assert found.delay_s is None


def test_an_alarm_that_opened_on_a_healthy_row_finds_no_fault() -> None:
    recording = recording_of([""] * 10 + ["leak"] * 10)

    (found,) = fault_figures(recording, outcome(20, (9, 20)))

    assert found.delay_s is None


def test_an_alarm_goes_on_into_the_fault_that_follows_at_once() -> None:
    recording = recording_of([""] * 4 + ["weak"] * 8 + ["severe"] * 8)

    weak, severe = fault_figures(recording, outcome(20, (5, 20)))

    assert weak.delay_s == pytest.approx(2.0)
    assert severe.carried_from == "weak"
    assert severe.delay_s == pytest.approx(0.0)


def test_an_alarm_is_not_carried_over_healthy_rows() -> None:
    recording = recording_of(["weak"] * 8 + [""] * 4 + ["severe"] * 8)

    _, severe = fault_figures(recording, outcome(20, (2, 20)))

    assert severe.delay_s is None


def test_healthy_rows_leave_out_a_windows_length_after_a_fault() -> None:
    fault = np.array([""] * 3 + ["leak"] * 2 + [""] * 5)

    assert_array_equal(np.flatnonzero(healthy_rows(fault, 3)), [0, 1, 2, 8, 9])


def test_false_alarms_are_those_that_open_on_healthy_rows() -> None:
    recording = recording_of([""] * 10 + ["leak"] * 5 + [""] * 5)

    found = healthy_figures(
        recording, outcome(20, (3, 6), (11, 13), (16, 18), bad=(3, 4, 11, 16)), window_rows=3
    )

    assert (found.rows, found.alarms) == (12, 1)
    assert found.bad_share == pytest.approx(2 / 12)
