"""When drift begins and ends: by how far a comparison is from its threshold. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faultline.drift import DriftKind, Finding

ENDS_BELOW = 2 / 3
"""Drift that has begun ends below this part of its threshold: what stays near it begins once."""


@dataclass(frozen=True)
class DriftLimits:
    """From where on a difference is drift.

    Attributes
    ----------
    distance
        Kolmogorov-Smirnov statistic of a sensor, Jensen-Shannon distance of clusters and scores.
    level
        Difference of the median scores, in boundaries.
    significance
        The p-value, corrected for the number of comparisons, must be below it.
    """

    distance: float
    level: float
    significance: float = 0.01

    def is_significant(self, finding: Finding) -> bool:
        """Whether chance does not explain it."""
        return finding.p_value is not None and finding.p_value < self.significance


@dataclass(frozen=True)
class DriftPolicy:
    """What is sampled, how often it is looked at, and what is drift.

    Attributes
    ----------
    window_s
        How far back the sample goes, by the readings' own time.
    rows
        Kept of a machine type, at most.
    poll_s
        Between two looks.
    cooldown_s
        Between two events of a machine type.
    """

    window_s: float
    rows: int
    poll_s: float
    cooldown_s: float
    limits: DriftLimits


def excess(finding: Finding) -> float:
    """How far over its threshold: 1 is at it."""
    return finding.statistic / finding.threshold


class Onsets:
    """What drifts of one machine type, and what of it has been told.

    Parameters
    ----------
    cooldown_s
        Between two events, at least. What begins meanwhile is told afterwards, if it still drifts.
    """

    def __init__(self, limits: DriftLimits, cooldown_s: float) -> None:
        self._limits = limits
        self._cooldown_s = cooldown_s
        self._drifting: set[tuple[DriftKind, str]] = set()
        self._told: set[tuple[DriftKind, str]] = set()
        self._told_at_s: float | None = None

    def begin_anew(self) -> None:
        """Let nothing drift: another version is compared with. The cooldown goes on."""
        self._drifting = set()
        self._told = set()

    def drifting(self, finding: Finding) -> bool:
        """Whether it drifts, as of the last look."""
        return (finding.kind, finding.name) in self._drifting

    def follow(self, found: Sequence[Finding], now_s: float) -> tuple[Finding, ...]:
        """Take a look in; returns all that drifts when there is something new to tell, or nothing.

        What could not be compared this time is as it was.
        """
        for one in found:
            key = (one.kind, one.name)
            if excess(one) < ENDS_BELOW:
                self._drifting.discard(key)
                self._told.discard(key)
            elif excess(one) >= 1.0 and self._limits.is_significant(one):
                self._drifting.add(key)
        if not self._drifting - self._told:
            return ()
        if self._told_at_s is not None and now_s - self._told_at_s < self._cooldown_s:
            return ()
        self._told = set(self._drifting)
        self._told_at_s = now_s
        drifting = [one for one in found if self.drifting(one)]
        return tuple(sorted(drifting, key=excess, reverse=True))
