from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from faultline.ports.clock import Clock
from faultline.readings import Reading
from faultline.sources.host import HostSource


class Manual(Clock, Protocol):
    s: float
    waits: list[float]


class ScriptedProbe:
    """A machine whose counters follow the clock, at rates that a test sets."""

    def __init__(self, clock: Manual) -> None:
        self._clock = clock
        self.cores: list[dict[str, float]] = [{"user": 0.0, "idle": 0.0}]
        self.busy: list[float] = [0.25]
        self.packets = 0.0
        self.packets_per_s = 40.0
        self.measured: dict[str, float] = {"load_1m": 0.5}
        self._last_s = clock.s

    def _advance(self) -> None:
        passed, self._last_s = self._clock.s - self._last_s, self._clock.s
        self.packets += self.packets_per_s * passed
        for core, busy in zip(self.cores, self.busy, strict=True):
            core["user"] += busy * passed
            core["idle"] += (1 - busy) * passed

    def cpu_seconds(self) -> Sequence[Mapping[str, float]]:
        self._advance()
        return [dict(core) for core in self.cores]

    def counters(self) -> Mapping[str, float]:
        return {"packets_per_s": self.packets}

    def gauges(self) -> Mapping[str, float]:
        return dict(self.measured)


@pytest.fixture
def probe(clock: Manual) -> ScriptedProbe:
    return ScriptedProbe(clock)


def source(clock: Manual, probe: ScriptedProbe, interval_s: float = 0.25) -> HostSource:
    return HostSource(clock, probe, machine_id="web-1", interval_s=interval_s)


def only(readings: Sequence[Reading]) -> dict[str, float | None]:
    [reading] = readings
    return reading.sensors


def test_a_reading_is_of_the_host(clock: Manual, probe: ScriptedProbe) -> None:
    [reading] = source(clock, probe).readings(0.25)
    assert (reading.machine_id, reading.machine_type) == ("web-1", "host")
    assert reading.timestamp_ms == clock.now_ms()


def test_the_hosts_own_name_is_the_machine_unless_told(clock: Manual, probe: ScriptedProbe) -> None:
    assert HostSource(clock, probe).machine_id


def test_readings_come_at_a_steady_interval(clock: Manual, probe: ScriptedProbe) -> None:
    times = [reading.timestamp_ms for reading in source(clock, probe).readings(1.0)]
    assert [time - times[0] for time in times] == [0, 250, 500, 750]


def test_a_slow_sink_does_not_shift_the_schedule(clock: Manual, probe: ScriptedProbe) -> None:
    begin = clock.s
    taken = []
    for _ in source(clock, probe).readings(1.5):
        taken.append(round(clock.s - begin, 3))
        clock.s += 0.1
    assert taken == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]


def test_moments_that_were_missed_are_left_out(clock: Manual, probe: ScriptedProbe) -> None:
    begin = clock.s
    taken = []
    for _ in source(clock, probe).readings(2.0):
        taken.append(round(clock.s - begin, 3))
        if len(taken) == 1:
            clock.s += 1.1
    assert taken == [0.25, 1.5, 1.75, 2.0]


def test_a_counter_becomes_a_rate(clock: Manual, probe: ScriptedProbe) -> None:
    assert only(list(source(clock, probe).readings(0.25)))["packets_per_s"] == 40.0


def test_a_rate_is_by_the_time_that_really_passed(clock: Manual, probe: ScriptedProbe) -> None:
    rates = []
    for reading in source(clock, probe).readings(1.5):
        rates.append(reading.sensors["packets_per_s"])
        clock.s += 0.3
    assert set(rates) == {40.0}


def test_a_counter_that_was_set_back_is_missing_once(clock: Manual, probe: ScriptedProbe) -> None:
    rates = []
    for reading in source(clock, probe).readings(1.0):
        rates.append(reading.sensors["packets_per_s"])
        if len(rates) == 1:
            probe.packets = -1_000.0
    assert rates == [40.0, None, 40.0, 40.0]


def test_a_core_is_as_busy_as_it_does_not_idle(clock: Manual, probe: ScriptedProbe) -> None:
    probe.cores = [{"user": 0.0, "idle": 0.0, "iowait": 0.0} for _ in range(2)]
    probe.busy = [0.25, 1.0]
    sensors = only(list(source(clock, probe).readings(0.25)))
    assert (sensors["cpu_0_percent"], sensors["cpu_1_percent"]) == (25.0, 100.0)
    assert sensors["cpu_user_percent"] == 62.5
    assert sensors["cpu_iowait_percent"] == 0.0
    assert "cpu_idle_percent" not in sensors


def test_when_the_cpus_clock_stands_still_its_percentages_are_missing(
    clock: Manual, probe: ScriptedProbe
) -> None:
    class Frozen(ScriptedProbe):
        def cpu_seconds(self) -> Sequence[Mapping[str, float]]:
            return [{"user": 1.0, "idle": 1.0}]

    sensors = only(list(source(clock, Frozen(clock)).readings(0.25)))
    assert sensors["cpu_0_percent"] is None


def test_a_core_that_goes_leaves_the_others_unread_once(
    clock: Manual, probe: ScriptedProbe
) -> None:
    probe.cores = [{"user": 0.0, "idle": 0.0} for _ in range(2)]
    probe.busy = [0.5, 0.5]
    seen = []
    for reading in source(clock, probe).readings(0.75):
        seen.append(reading.sensors["cpu_0_percent"])
        del probe.cores[1:], probe.busy[1:]
    assert seen == [50.0, None, 50.0]


def test_what_is_measured_is_passed_on(clock: Manual, probe: ScriptedProbe) -> None:
    assert only(list(source(clock, probe).readings(0.25)))["load_1m"] == 0.5


def test_an_interval_of_nothing_is_refused(clock: Manual, probe: ScriptedProbe) -> None:
    with pytest.raises(ValueError, match="interval 0 s must be above 0"):
        source(clock, probe, interval_s=0)
