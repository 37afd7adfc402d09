"""The sample of readings that drift is looked for in: bounded, spread, each once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.predictor.drift_sample import DriftSample, Rows


def add(sample: DriftSample, times_ms: Sequence[int], machine: str = "a", now_s: float = 0) -> None:
    times = np.array(times_ms, dtype=np.int64)
    times = times[sample.wanted(machine, times)]
    none = np.zeros(len(times), dtype=np.int64)
    values = times[:, np.newaxis].astype(np.float64)
    sample.add(machine, Rows(none, times, none, none.astype(np.float64), values), now_s)


def kept(sample: DriftSample, now_s: float = 0) -> list[int]:
    rows = sample.rows(now_s)
    np.testing.assert_array_equal(rows.values[:, 0], rows.timestamps_ms)
    times: list[int] = rows.timestamps_ms.tolist()
    return times


def test_the_sample_is_bounded_and_spread_over_the_window() -> None:
    sample = DriftSample(1, window_ms=100_000, most_rows=100)
    for start in range(0, 1_000_000, 7_000):
        add(sample, range(start, start + 7_000, 10))
        assert len(sample) <= 100
    times = np.array(kept(sample))
    assert 40 <= len(times) <= 100
    assert times.min() == pytest.approx(900_000, abs=5_000)
    assert np.diff(times).max() <= 4 * np.median(np.diff(times))


def test_two_machines_have_about_equal_parts() -> None:
    sample = DriftSample(1, window_ms=10**9, most_rows=200)
    for start in range(0, 100_000, 100):
        add(sample, range(start, start + 100, 5), "often")
        add(sample, range(start, start + 100, 50), "seldom")
    rows = sample.rows(0)
    often, seldom = np.bincount(rows.machine)
    assert often == pytest.approx(seldom, rel=0.25)


def test_readings_judged_again_are_kept_once() -> None:
    sample = DriftSample(1, window_ms=10**9, most_rows=100)
    add(sample, range(50))
    add(sample, range(30, 60))
    assert kept(sample) == list(range(60))


def test_what_a_clock_ahead_sent_makes_way() -> None:
    sample = DriftSample(1, window_ms=1_000, most_rows=100)
    add(sample, [10**12])
    add(sample, range(20))
    assert kept(sample) == list(range(20))


def test_a_machine_that_is_not_heard_of_any_more_goes() -> None:
    sample = DriftSample(1, window_ms=1_000, most_rows=100)
    add(sample, [1, 2], "gone", now_s=0)
    add(sample, [1, 2, 3], "there", now_s=1.5)
    assert kept(sample, now_s=1.8) == [1, 2, 3]
    add(sample, [7], "gone", now_s=1.9)
    assert kept(sample, now_s=1.9) == [1, 2, 3, 7]


def test_more_machines_than_rows_keep_within_the_room() -> None:
    sample = DriftSample(1, window_ms=1_000, most_rows=100)
    for number in range(1_000):
        add(sample, [number], f"m{number}")
    assert 25 <= len(kept(sample)) <= 100


def test_when_many_fall_silent_the_others_get_finer_again() -> None:
    sample = DriftSample(1, window_ms=10_000, most_rows=100)
    for number in range(50):
        add(sample, range(0, 10_000, 100), f"m{number}", now_s=0)
    for start in range(0, 60_000, 1_000):
        add(sample, range(10_000 + start, 11_000 + start, 100), "m0", now_s=20 + start / 1_000)
        sample.rows(20 + start / 1_000)
    assert len(kept(sample, now_s=80)) > 20


def test_less_room_keeps_what_is_there_thinner() -> None:
    sample = DriftSample(1, window_ms=10**9, most_rows=100)
    add(sample, range(100))
    sample.resize(30)
    times = kept(sample)
    assert 15 <= len(times) <= 30
    assert times[-1] - times[0] > 80
