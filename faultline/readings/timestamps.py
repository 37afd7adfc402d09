"""Times on the wire: RFC 3339 or epoch milliseconds outside, whole milliseconds inside."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from faultline.errors import InvalidReading
from faultline.readings.refusal import short

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, written without its zone
_MILLISECOND = timedelta(milliseconds=1)
_FAR_MS = 1e18

MIN_TIMESTAMP_MS = 0
MAX_TIMESTAMP_MS = (datetime(2101, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND - 1


def parse_timestamp(timestamp: str | float) -> int:
    """Milliseconds since the epoch of an RFC 3339 text or of epoch milliseconds.

    Fractions beyond a millisecond are cut off. A text without a zone is UTC.

    Raises
    ------
    InvalidReading
        When it is no time, or outside the years 1970 to 2100.

    Examples
    --------
    >>> parse_timestamp("1970-01-01T00:00:01.5Z")
    1500
    >>> parse_timestamp("1970-01-01 01:00:00+01:00")
    0
    """
    if isinstance(timestamp, str):
        try:
            moment = datetime.fromisoformat(timestamp)
        except ValueError:
            raise InvalidReading(
                f"timestamp: {short(timestamp)} is neither RFC 3339 "
                "(2026-11-21T08:00:00.000Z) nor epoch milliseconds"
            ) from None
        milliseconds = to_ms(moment)
    else:
        # NaN fails this too. Python would refuse to write out integers of thousands of digits.
        if not -_FAR_MS < timestamp < _FAR_MS:
            raise InvalidReading(
                "timestamp: such a number is no epoch milliseconds in the years 1970 to 2100"
            )
        milliseconds = math.floor(timestamp)
    if not MIN_TIMESTAMP_MS <= milliseconds <= MAX_TIMESTAMP_MS:
        raise InvalidReading(f"timestamp: {timestamp!r} must be in the years 1970 to 2100")
    return milliseconds


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; without a zone it is UTC."""
    if moment.tzinfo is None:
        return (moment - _NAIVE_EPOCH) // _MILLISECOND
    return (moment - _EPOCH) // _MILLISECOND


def format_timestamp(timestamp_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds.

    >>> format_timestamp(1500)
    '1970-01-01T00:00:01.500Z'
    """
    second, millisecond = divmod(timestamp_ms, 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


# Machines of one plant report at the same seconds.
@lru_cache(maxsize=4096)
def _second(since_epoch_s: int) -> str:
    return (_NAIVE_EPOCH + timedelta(seconds=since_epoch_s)).isoformat()
