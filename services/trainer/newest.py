"""Which part of a long history is read where nobody has asked for a start. It reads no values."""

from __future__ import annotations

from dataclasses import replace

from faultline.left_out import Cause, LeftOut
from faultline.ports.stores import FleetStore, HistoryQuery
from faultline.readings import MIN_TIMESTAMP_MS

# Between the look at which are newest and the reading others come in that are older: one in so
# many may.
_SHARE_FOR_LATE = 50


def newest(store: FleetStore, asked: HistoryQuery, max_rows: int) -> HistoryQuery:
    """The query, narrowed to the newest readings where there are more than so many.

    Raises `Unavailable` while the store is down.
    """
    found = store.newest_range(asked, max_rows - max_rows // _SHARE_FOR_LATE)
    if found is None:
        return asked
    return replace(asked, start_ms=found.start_ms, end_ms=found.end_ms)


def unread(asked: HistoryQuery, query: HistoryQuery) -> list[LeftOut]:
    """The periods that are not read: what the request excludes, and what is too old."""
    periods = [(Cause.EXCLUDED, one.start_ms, one.end_ms) for one in asked.excluded]
    if query.start_ms is not None and query.start_ms != asked.start_ms:
        periods.append((Cause.OLDER, MIN_TIMESTAMP_MS, query.start_ms))
    return [
        LeftOut(cause=cause, machine_id=None, start_ms=start_ms, end_ms=end_ms)
        for cause, start_ms, end_ms in periods
    ]
