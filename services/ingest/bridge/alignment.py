"""Brings the values of a machine's sensors, which come one by one, into rows on a grid.

Pure: time comes in with the values and with the question what is due.

A row stands at a multiple of the period and holds, of each sensor known so far, the last value up
to that instant; one that is older than the maximum age is missing. A value is of the first such
instant that is not before it. A row needs at least one value of its own period: a machine that
falls silent gets no more rows.

A row is due when the machine's own clock (the newest timestamp) has passed it by the allowed
lateness, or else when so much time has gone by since its first value came. Values after that are
late: they make no second row, but are carried into the next ones.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from faultline.errors import InvalidReading
from faultline.readings import MAX_SENSORS

# A device that sends its past out of order may have so many rows open at once.
_MAX_PENDING = 16


class Grid(NamedTuple):
    """How the rows of a machine type lie, in milliseconds.

    Attributes
    ----------
    period_ms
        From row to row.
    max_age_ms
        A value older than this is not carried into a row.
    lateness_ms
        How long a row waits for values after its instant.
    """

    period_ms: int
    max_age_ms: int
    lateness_ms: int

    def row_of(self, timestamp_ms: int) -> int:
        """The first row's instant that is not before a timestamp.

        >>> Grid(1000, 5000, 0).row_of(1001), Grid(1000, 5000, 0).row_of(2000)
        (2000, 2000)
        """
        return -(-timestamp_ms // self.period_ms) * self.period_ms


class Sample(NamedTuple):
    """A sensor's value, None where it is missing, and when it was."""

    timestamp_ms: int
    value: float | None


class Pending(msgspec.Struct):
    """A row that waits: the last sample of each sensor in its period; due then at the latest."""

    due_ms: int
    samples: dict[str, Sample]


class Row(NamedTuple):
    """A row that is made."""

    timestamp_ms: int
    sensors: dict[str, float | None]


class Taken(NamedTuple):
    """What became of a value.

    Attributes
    ----------
    late
        Its row was made already.
    ahead
        Its timestamp lay further ahead than a period; when it came counts instead.
    """

    late: bool
    ahead: bool


class MachineRows(msgspec.Struct):
    """The rows of one machine: what is known, what waits.

    Attributes
    ----------
    known
        Last sample of each sensor up to the last row.
    pending
        Rows that wait, by their instant.
    made_ms
        Instant of the last row.
    newest_ms
        The machine's own clock.
    arrived_ms
        When the last value came, by ours.
    """

    known: dict[str, Sample] = {}
    pending: dict[int, Pending] = {}
    made_ms: int = -1
    newest_ms: int = -1
    arrived_ms: int = -1

    def take(self, grid: Grid, sensor: str, sample: Sample, arrived_ms: int) -> Taken:
        """Take a value.

        Raises
        ------
        InvalidReading
            When the machine would have more sensors than a reading may.
        """
        self._require_room(sensor)
        self.arrived_ms = max(self.arrived_ms, arrived_ms)
        ahead = sample.timestamp_ms > arrived_ms + grid.period_ms
        if ahead:
            sample = Sample(arrived_ms, sample.value)
        when = sample.timestamp_ms
        self.newest_ms = max(self.newest_ms, when)
        instant = grid.row_of(when)
        if instant <= self.made_ms:
            _keep_newer(self.known, sensor, sample)
            return Taken(late=True, ahead=ahead)
        waiting = self.pending.get(instant)
        if waiting is None:
            due_ms = arrived_ms + (instant - when) + grid.lateness_ms
            waiting = self.pending[instant] = Pending(due_ms, {})
        _keep_newer(waiting.samples, sensor, sample)
        return Taken(late=False, ahead=ahead)

    def due(self, grid: Grid, now_ms: int) -> list[Row]:
        """Make the rows that are due by now, in their order."""
        instants = sorted(self.pending)
        passed = self.newest_ms - grid.lateness_ms
        last = max(
            (
                number
                for number, instant in enumerate(instants)
                if instant < passed or self.pending[instant].due_ms <= now_ms
            ),
            default=-1,
        )
        last = max(last, len(instants) - _MAX_PENDING - 1)
        return [self._make(grid, instant) for instant in instants[: last + 1]]

    def is_due(self, grid: Grid) -> bool:
        """Whether the machine's own clock, or the number of its rows, makes one due."""
        return len(self.pending) > _MAX_PENDING or any(
            instant < self.newest_ms - grid.lateness_ms for instant in self.pending
        )

    def _make(self, grid: Grid, instant: int) -> Row:
        for sensor, sample in self.pending.pop(instant).samples.items():
            _keep_newer(self.known, sensor, sample)
        self.made_ms = instant
        return Row(
            instant,
            {
                sensor: value if instant - when <= grid.max_age_ms else None
                for sensor, (when, value) in self.known.items()
            },
        )

    def _require_room(self, sensor: str) -> None:
        if sensor in self.known:
            return
        names = self.known.keys() | {
            name for waiting in self.pending.values() for name in waiting.samples
        }
        if sensor not in names and len(names) >= MAX_SENSORS:
            raise InvalidReading(f"sensors: the machine has {MAX_SENSORS} already")


def _keep_newer(samples: dict[str, Sample], sensor: str, sample: Sample) -> None:
    """Of two samples with one timestamp the one that came last counts."""
    former = samples.get(sensor)
    if former is None or former.timestamp_ms <= sample.timestamp_ms:
        samples[sensor] = sample
