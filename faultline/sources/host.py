"""The sensors of the machine it runs on, several times a second: rates, loads, temperatures.

It knows nothing of the operating system, which a probe reads, nor of where the readings go.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from faultline.ports.clock import Clock
from faultline.readings import MAX_SENSORS, Reading, make_reading

HOST_TYPE = "host"
DEFAULT_INTERVAL_S = 0.25
_DECIMALS = 3


class Probe(Protocol):
    """Reads the operating system; what a platform does not have is left out."""

    def cpu_seconds(self) -> Sequence[Mapping[str, float]]:
        """Seconds spent per core and kind since the start; ``idle`` and ``iowait`` are not busy."""

    def counters(self) -> Mapping[str, float]:
        """Whatever only grows, under the name of its rate per second."""

    def gauges(self) -> Mapping[str, float]:
        """Whatever is measured as it is."""


@dataclass(frozen=True)
class _Sample:
    at_s: float
    cpu_seconds: Sequence[Mapping[str, float]]
    counters: Mapping[str, float]
    gauges: Mapping[str, float]


class HostSource:
    """Reads this machine at a steady interval.

    Sensors: ``cpu_0_percent`` and so on for how busy each core is, ``cpu_user_percent`` and so on
    for what all cores together spend their time on, everything the probe counts as a rate, and
    everything it measures. A rate whose counter was set back is missing once.

    Parameters
    ----------
    clock
        Tells the time and waits.
    probe
        None for the one of psutil.
    machine_id
        None for the host's name.
    interval_s
        Seconds between two readings, above 0.
    """

    def __init__(
        self,
        clock: Clock,
        probe: Probe | None = None,
        *,
        machine_id: str | None = None,
        interval_s: float = DEFAULT_INTERVAL_S,
    ) -> None:
        if not (interval_s > 0 and math.isfinite(interval_s)):
            raise ValueError(f"interval {interval_s} s must be above 0")
        self._clock = clock
        self._probe = probe if probe is not None else _psutil_probe()
        self._interval_s = interval_s
        self.machine_id = machine_id if machine_id is not None else socket.gethostname()

    def readings(self, duration_s: float | None = None) -> Iterator[Reading]:
        """Yield a reading per interval, each when it is taken.

        Moments are counted from the first, so the schedule does not drift; those that were missed
        (the machine slept, the sink was slow) are left out.

        Parameters
        ----------
        duration_s
            Rounded to whole intervals; None goes on for ever.
        """
        before = self._sample()
        begin_s = before.at_s
        tick = 1
        last = math.inf if duration_s is None else round(duration_s / self._interval_s)
        while tick <= last:
            while (left_s := begin_s + tick * self._interval_s - self._clock.monotonic_s()) > 0:
                self._clock.sleep(left_s)
            sample = self._sample()
            timestamp_ms = self._clock.now_ms()
            sensors = dict(_cpu_percent(before, sample))
            sensors.update(_rates(before, sample))
            sensors.update(sample.gauges)
            before = sample
            if sensors:
                # Of more cores than fit into a reading, the first are left to the totals.
                kept = {name: _rounded(sensors[name]) for name in list(sensors)[-MAX_SENSORS:]}
                yield make_reading(self.machine_id, timestamp_ms, kept, HOST_TYPE)
            past_s = self._clock.monotonic_s() - begin_s
            # The next that is still to come: two in one millisecond would be one reading.
            tick = max(tick, math.floor(past_s / self._interval_s)) + 1

    def _sample(self) -> _Sample:
        return _Sample(
            self._clock.monotonic_s(),
            self._probe.cpu_seconds(),
            self._probe.counters(),
            self._probe.gauges(),
        )


def _psutil_probe() -> Probe:
    from faultline.sources.probe import PsutilProbe  # noqa: PLC0415 - psutil is an extra

    return PsutilProbe()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)


def _rates(before: _Sample, after: _Sample) -> Iterator[tuple[str, float | None]]:
    elapsed_s = after.at_s - before.at_s
    for name, count in after.counters.items():
        since = count - before.counters.get(name, math.inf)
        yield name, since / elapsed_s if since >= 0 and elapsed_s > 0 else None


def _cpu_percent(before: _Sample, after: _Sample) -> Iterator[tuple[str, float | None]]:
    # A core may come or go in between; then there is nothing to compare for one interval.
    comparable = len(before.cpu_seconds) == len(after.cpu_seconds)
    spent = [
        {kind: seconds - old.get(kind, 0.0) for kind, seconds in new.items()}
        for old, new in zip(before.cpu_seconds, after.cpu_seconds, strict=False)
    ]
    for number, kinds in enumerate(spent):
        idle = kinds.get("idle", 0.0) + kinds.get("iowait", 0.0)
        total = sum(kinds.values())
        yield f"cpu_{number}_percent", _percent(total - idle, total, comparable)
    total = sum(sum(kinds.values()) for kinds in spent)
    for kind in spent[0] if spent else ():
        if kind != "idle":
            part = sum(kinds[kind] for kinds in spent)
            yield f"cpu_{kind}_percent", _percent(part, total, comparable)


def _percent(part: float, total: float, comparable: bool) -> float | None:
    """The part's share; None when the clock of the CPU has not moved on, or went back."""
    if not comparable or total <= 0 or part < 0:
        return None
    return min(100.0, 100.0 * part / total)
