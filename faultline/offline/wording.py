"""How numbers are written for a person: durations, parts in percent, and counted things."""

from __future__ import annotations

# Each unit up to the length, in seconds, from which the next one is easier to read.
_UNITS = (("s", 1.0, 90.0), ("min", 60.0, 5_400.0), ("h", 3_600.0, 129_600.0))
_DAY_S = 86_400.0


def duration(seconds: float) -> str:
    """Write a length of time in the unit that suits it.

    >>> duration(38), duration(360), duration(9_000), duration(259_200)
    ('38 s', '6 min', '2.5 h', '3 days')
    """
    for unit, length, limit in _UNITS:
        if seconds < limit:
            return f"{_short(seconds / length)} {unit}"
    return f"{_short(seconds / _DAY_S)} days"


def percent(part: float, digits: int = 0) -> str:
    """Write a part of one in percent.

    >>> percent(0.57), percent(0.0021, 2)
    ('57 %', '0.21 %')
    """
    return f"{100 * part:.{digits}f} %"


def count(number: int, thing: str) -> str:
    """Write a number of things whose plural ends in s.

    >>> count(1, "row"), count(7_200, "row")
    ('1 row', '7,200 rows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _short(number: float) -> str:
    """Two digits, or the whole number where it has more."""
    return f"{number:.2g}" if number < 10 else f"{round(number):,}"
