"""What outlives its time: what there is to drop, and dropping it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class Kept(StrEnum):
    """What is kept for a time of its own.

    Attributes
    ----------
    READINGS, VERDICTS
        By whole months.
    EVENTS
        Drift events, and closed alarms with their events.
    """

    READINGS = "readings"
    VERDICTS = "verdicts"
    EVENTS = "events"


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that have outlived their time, dropped as one.

    Attributes
    ----------
    name
        The month's table; of events the table with them.
    until_ms
        All of them are from before, in milliseconds since the epoch.
    rows
        How many, of a month about; None when that is not known.
    size_bytes
        What dropping them frees on disk; None when that is not known.
    """

    kind: Kept
    name: str
    until_ms: int
    rows: int | None = None
    size_bytes: int | None = None


class RetentionStore(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def expired(self, cutoffs: Mapping[Kept, int]) -> Sequence[Expired]:
        """What is from before the cutoff of its kind, whole months only where it is kept so.

        Parameters
        ----------
        cutoffs
            Milliseconds since the epoch; what is not in it is kept.
        """

    def drop(self, expired: Expired) -> bool:
        """Drop what `expired` has named.

        Returns
        -------
        bool
            False when it was gone already, or another process is just dropping.

        Raises
        ------
        Unavailable
            When somebody reads or writes it: nobody is kept waiting, so try again later. Or when
            the store refuses, for a view on the table or a missing right: a person must help. What
            of events was deleted by then stays so.
        """

    def prepare(self, now_ms: int) -> None:
        """Have this month's and the next month's tables ready before their first rows come."""
