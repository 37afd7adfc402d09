"""How long stored rows are kept, and dropping those that have outlived it.

It knows the store by its port only. Months go as a whole, when all of them has outlived its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from faultline.errors import Unavailable
from faultline.ports.retention import Expired, Kept, RetentionStore

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Retention:
    """How many days each kind is kept; 0 is for ever."""

    readings_days: int = 0
    verdicts_days: int = 0
    events_days: int = 0

    @property
    def days(self) -> Mapping[Kept, int]:
        """The same by kind."""
        return {
            Kept.READINGS: self.readings_days,
            Kept.VERDICTS: self.verdicts_days,
            Kept.EVENTS: self.events_days,
        }

    def cutoffs(self, now_ms: int) -> Mapping[Kept, int]:
        """What is from before has outlived its time; without the kinds that are kept for ever."""
        return {kind: now_ms - days * _DAY_MS for kind, days in self.days.items() if days}


class Outcome(NamedTuple):
    """What became of rows that had outlived their time.

    Attributes
    ----------
    dropped
        By this call.
    in_use
        Why they are still there; None when they are not, or another process is at it.
    """

    expired: Expired
    dropped: bool
    in_use: str | None = None


def enforce(store: RetentionStore, retention: Retention, now_ms: int) -> Sequence[Outcome]:
    """Drop all that has outlived its time, and go on where something is in use.

    Raises
    ------
    Unavailable
        While the store is down.
    """
    return [_dropped(store, one) for one in store.expired(retention.cutoffs(now_ms))]


def _dropped(store: RetentionStore, expired: Expired) -> Outcome:
    try:
        return Outcome(expired, store.drop(expired))
    except Unavailable as error:
        return Outcome(expired, False, str(error))
