"""When any version of a model was in Production: outside that nothing could be found or cried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.labels import FaultLabel
from faultline.ports.promotions import Promotion


class LiveTime(NamedTuple):
    """The periods in which some version was live, by time; the last may last.

    Attributes
    ----------
    periods
        Start and end of each, milliseconds since the epoch, end excluded; None is not ended.
    """

    periods: tuple[tuple[int, int | None], ...]

    @property
    def since_ms(self) -> int | None:
        """When it began; None when no version was ever live."""
        return self.periods[0][0] if self.periods else None

    def holds(self, times_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which times are within, shape (n,)."""
        within = np.zeros(len(times_ms), dtype=np.bool_)
        for start_ms, end_ms in self.periods:
            within |= (times_ms >= start_ms) & (times_ms < (np.inf if end_ms is None else end_ms))
        return within

    def meets(self, label: FaultLabel) -> bool:
        """Whether some version was live during a part of a fault."""
        return any(
            (label.end_ms is None or start_ms < label.end_ms)
            and (end_ms is None or label.start_ms < end_ms)
            for start_ms, end_ms in self.periods
        )


def live_time(history: Sequence[Promotion]) -> LiveTime:
    """The periods between the changes of a model's Production.

    Parameters
    ----------
    history
        Newest first.
    """
    periods: list[tuple[int, int | None]] = []
    since_ms: int | None = None
    for change in reversed(history):
        if change.to_version is not None:
            since_ms = change.at_ms if since_ms is None else since_ms
        elif since_ms is not None:
            periods.append((since_ms, change.at_ms))
            since_ms = None
    if since_ms is not None:
        periods.append((since_ms, None))
    return LiveTime(tuple(periods))
