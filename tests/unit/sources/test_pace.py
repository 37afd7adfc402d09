from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.ports.clock import Clock
from faultline.readings import Reading
from faultline.sources.pace import FULL_SPEED, paced, parse_duration, parse_speed


class Manual(Clock, Protocol):
    s: float
    waits: list[float]


def at(*seconds: float) -> list[Reading]:
    return [
        Reading(machine_id="pump-01", timestamp_ms=round(s * 1_000), sensors={"flow": 1.0})
        for s in seconds
    ]


def released(readings: Sequence[Reading], speed: float, clock: Manual) -> list[tuple[float, float]]:
    """(seconds since the begin, the reading's own second) of every reading."""
    begin = clock.s
    return [
        (round(clock.s - begin, 3), reading.timestamp_ms / 1_000)
        for batch in paced(readings, speed, clock)
        for reading in batch
    ]


def test_at_speed_1_readings_come_as_far_apart_as_their_timestamps(clock: Manual) -> None:
    assert released(at(10, 11, 13), 1.0, clock) == [(0.0, 10), (1.0, 11), (3.0, 13)]


def test_at_speed_60_a_minute_takes_a_second(clock: Manual) -> None:
    assert released(at(0, 60, 120), 60.0, clock) == [(0.0, 0), (1.0, 60), (2.0, 120)]


def test_at_full_speed_nothing_waits(clock: Manual) -> None:
    assert sum(map(len, paced(at(*range(2_500)), FULL_SPEED, clock))) == 2_500
    assert clock.waits == []


def test_readings_of_one_moment_are_one_batch(clock: Manual) -> None:
    assert [len(batch) for batch in paced(at(1, 1, 1, 2, 2), 1.0, clock)] == [3, 2]


def test_readings_closer_than_the_grid_are_one_batch(clock: Manual) -> None:
    batches = list(paced(at(*(i / 1_000 for i in range(100))), 1.0, clock))
    assert len(batches) == 3
    assert sum(map(len, batches)) == 100


def test_what_a_slow_sink_delays_is_caught_up_and_not_added_up(clock: Manual) -> None:
    begin = clock.s
    ends = []
    for batch in paced(at(0, 1, 2, 3, 4, 5), 1.0, clock):
        if batch[0].timestamp_ms == 1_000:
            clock.s += 2.5
        ends.append(clock.s - begin)
    assert ends == [0.0, 3.5, 3.5, 3.5, 4.0, 5.0]


def test_a_reading_of_an_earlier_time_does_not_wait(clock: Manual) -> None:
    assert released(at(10, 12, 5, 13), 1.0, clock) == [(0.0, 10), (2.0, 12), (2.0, 5), (3.0, 13)]


def test_no_readings_are_no_batches(clock: Manual) -> None:
    assert list(paced([], 1.0, clock)) == []


@given(seconds=st.lists(st.floats(0, 5_000), max_size=60), speed=st.sampled_from([0.5, 7.0, 1e4]))
def test_every_reading_is_released_once_and_in_order(seconds: list[float], speed: float) -> None:
    class Jumping:
        s = 0.0

        def now_ms(self) -> int:
            return round(self.s * 1_000)

        def monotonic_s(self) -> float:
            return self.s

        def sleep(self, seconds: float) -> None:
            self.s += seconds

    readings = at(*seconds)
    assert [r for batch in paced(readings, speed, Jumping()) for r in batch] == readings


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"speed .* must be a number above 0"):
        parse_speed(text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1d", 86400)])
def test_a_duration_may_name_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1h", "h", "2 weeks", "inf"])
def test_a_duration_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration .* must be a number above 0"):
        parse_duration(text)
