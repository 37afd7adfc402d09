"""When a training is due by schedule: cron expressions and intervals, in UTC.

Knows the time it is told, and neither the clock nor the queue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from faultline.readings.timestamps import to_ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_INTERVAL = re.compile(r"every ([1-9][0-9]{0,8}) ?([smhd])")
_MACHINE_TYPE = re.compile(r"[a-z0-9_-]{1,63}")
_NEVER = "never"


@dataclass(frozen=True)
class Interval:
    """Every so many milliseconds, counted from 1970: `every 6h` is 00:00, 06:00, 12:00, 18:00."""

    text: str
    every_ms: int

    def last_due_ms(self, now_ms: int) -> int:
        """The last time at which it was due, now included."""
        return now_ms - now_ms % self.every_ms


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields, in UTC."""

    text: str

    def last_due_ms(self, now_ms: int) -> int:
        """The last time at which it was due, now included."""
        minute = _EPOCH + timedelta(minutes=now_ms // 60_000)
        return to_ms(next(CronSim(self.text, minute + timedelta(minutes=1), reverse=True)))


@dataclass(frozen=True)
class Schedules:
    """Which machine type has which schedule.

    Attributes
    ----------
    by_type
        None: that type has none.
    others
        Of the types that `by_type` does not name.
    """

    by_type: Mapping[str, Interval | Cron | None]
    others: Interval | Cron | None

    def of(self, machine_type: str) -> Interval | Cron | None:
        """The schedule of a machine type; None when it has none."""
        return self.by_type.get(machine_type, self.others)


def parse_schedules(text: str) -> Schedules:
    """Schedules as a setting has them.

    Raises
    ------
    ValueError
        Says what is wrong with which part.

    Examples
    --------
    >>> schedules = parse_schedules("0 3 * * *; pump=every 6h; test-rig=never")
    >>> schedules.of("pump").text, schedules.of("valve").text, schedules.of("test-rig")
    ('every 6h', '0 3 * * *', None)
    """
    by_type: dict[str, Interval | Cron | None] = {}
    others: list[Interval | Cron | None] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        machine_type, named, schedule = part.rpartition("=")
        machine_type = machine_type.strip()
        if not named:
            others.append(_parse(schedule))
        elif not _MACHINE_TYPE.fullmatch(machine_type):
            raise ValueError(f"{machine_type!r} is no machine type, in {part!r}")
        elif machine_type in by_type:
            raise ValueError(f"machine type {machine_type!r} has two schedules")
        else:
            by_type[machine_type] = _parse(schedule)
    if len(others) > 1:
        raise ValueError("there are two schedules for all types; write TYPE=SCHEDULE")
    return Schedules(by_type, others[0] if others else None)


def _parse(text: str) -> Interval | Cron | None:
    text = " ".join(text.split())
    if text == _NEVER:
        return None
    if interval := _INTERVAL.fullmatch(text):
        return Interval(text, int(interval[1]) * _UNITS_MS[interval[2]])
    try:
        _require_five_fields(text)
        # Tried once: an expression may be well formed and never due.
        next(CronSim(text, _EPOCH))
    except (CronSimError, ValueError, StopIteration) as error:
        raise ValueError(
            f"{text!r} is neither an interval such as `every 6h` (s, m, h or d), nor `never`, nor "
            f"a cron expression such as `0 3 * * *`: {error}"
        ) from None
    return Cron(text)


def _require_five_fields(text: str) -> None:
    fields = len(text.split())
    if fields != 5:
        raise ValueError(f"it has {fields} fields, not 5")
