"""Pacing: readings are released when their own timestamps say so, at any multiple of real time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from faultline.ports.clock import Clock
from faultline.readings import Reading

FULL_SPEED = math.inf
# Releases are rounded up to this grid: at high speeds a batch per moment would be one per reading.
_TICK_S = 0.05
# Readings in one batch at most; those of full speed always have as many.
_BATCH_READINGS = 1_000


def parse_speed(text: str) -> float:
    """Read a speed factor: ``1`` is real time, ``60`` a minute per second, ``max`` no waiting.

    Raises
    ------
    ValueError
        When it is neither a positive number nor ``max``.

    Examples
    --------
    >>> parse_speed("60"), parse_speed("max")
    (60.0, inf)
    """
    if text.strip().lower() == "max":
        return FULL_SPEED
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (speed > 0 and math.isfinite(speed)):
        raise ValueError(
            f"speed {text!r} must be a number above 0 (1 is real time, 60 a minute per second) "
            "or 'max'"
        )
    return speed


_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Read a duration in seconds: a number with the unit s, m, h or d, or of seconds without.

    Raises
    ------
    ValueError
        When it is not one, or not above 0.

    Examples
    --------
    >>> parse_duration("90"), parse_duration("1.5h")
    (90.0, 5400.0)
    """
    number = text.strip().lower()
    unit_s = 1.0
    if number[-1:] in _UNIT_S:
        unit_s = _UNIT_S[number[-1]]
        number = number[:-1]
    try:
        duration_s = float(number) * unit_s
    except ValueError:
        duration_s = math.nan
    if not (duration_s > 0 and math.isfinite(duration_s)):
        raise ValueError(f"duration {text!r} must be a number above 0 with s, m, h or d: 90s, 2h")
    return duration_s


def paced(readings: Iterable[Reading], speed: float, clock: Clock) -> Iterator[list[Reading]]:
    """Release readings in batches, each when it is due.

    The first reading is due at once, another as much later as its timestamp is, divided by the
    speed. Due times count from the first reading, so a slow sink delays and never adds up: what is
    overdue is released at once. The order stays as it is; a reading with an earlier timestamp than
    the one before it is simply overdue.

    Parameters
    ----------
    speed
        Above 0; `FULL_SPEED` never waits.
    clock
        Tells the time and waits.

    Yields
    ------
    list of Reading
        Never empty, at most 1,000.
    """
    batch: list[Reading] = []
    begin_s = clock.monotonic_s()
    first_ms: int | None = None
    released_s = 0.0
    for reading in readings:
        if first_ms is None:
            first_ms = reading.timestamp_ms
            begin_s = clock.monotonic_s()
        if speed != FULL_SPEED:
            due_s = _due_s(reading.timestamp_ms - first_ms, speed)
            if due_s > released_s:
                if batch:
                    yield batch
                    batch = []
                _wait_until(begin_s + due_s, clock)
                released_s = due_s
        batch.append(reading)
        if len(batch) >= _BATCH_READINGS:
            yield batch
            batch = []
    if batch:
        yield batch


def _due_s(since_first_ms: int, speed: float) -> float:
    return math.ceil(since_first_ms / (1_000 * speed * _TICK_S)) * _TICK_S


def _wait_until(moment_s: float, clock: Clock) -> None:
    while (left_s := moment_s - clock.monotonic_s()) > 0:
        clock.sleep(left_s)
