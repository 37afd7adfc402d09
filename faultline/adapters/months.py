"""Months in UTC: by these readings and verdicts are kept apart, and dropped."""

from __future__ import annotations

from datetime import UTC, datetime


def month_of_ms(at_ms: int) -> datetime:
    """Begin of the month of a time in milliseconds since the epoch."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def next_month(start: datetime) -> datetime:
    """Begin of the month after the one that begins then."""
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def end_ms(start: datetime) -> int:
    """End of the month that begins then, itself left out; milliseconds since the epoch."""
    return int(next_month(start).timestamp()) * 1000


def partition_name(table: str, start: datetime) -> str:
    """Name of the table that holds a month of another.

    Examples
    --------
    >>> partition_name("readings", month_of_ms(1_795_262_400_000))
    'readings_y2026m11'
    """
    return f"{table}_y{start.year:04d}m{start.month:02d}"


def month_of_partition(table: str, name: str) -> datetime | None:
    """Begin of the month of a table that a table of this name holds; None when it is no month's.

    Examples
    --------
    >>> month_of_partition("readings", "readings_y2026m11")
    datetime.datetime(2026, 11, 1, 0, 0, tzinfo=datetime.timezone.utc)
    >>> month_of_partition("readings", "readings_default") is None
    True
    """
    year, _, month = name.removeprefix(f"{table}_y").partition("m")
    try:
        start = datetime(int(year), int(month), 1, tzinfo=UTC)
    except ValueError:
        return None
    return start if partition_name(table, start) == name else None
