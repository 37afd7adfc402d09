"""When drift begins and ends: by how far a comparison is from its threshold. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from faultline.drift import DriftEvent, DriftKind, Finding

ENDS_BELOW = 2 / 3
"""Drift that has begun ends below this part of its threshold: what stays near it begins once."""
_RUNS_POLLS = 3
_EVENTS = UUID("8a0d4d5e-30b1-4c0a-9a3c-6d1f5b0f2c77")

_Key = tuple[DriftKind, str]


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

    @property
    def runs_ms(self) -> int:
        """Who has counted nothing for so many milliseconds runs no more."""
        return round(1_000 * _RUNS_POLLS * self.poll_s)


def excess(finding: Finding) -> float:
    """How far over its threshold: 1 is at it."""
    return finding.statistic / finding.threshold


class Onsets:
    """What drifts of one machine type, and what of it has been told, here or by another replica.

    Parameters
    ----------
    cooldown_s
        Between two events, at least. What begins meanwhile is told afterwards, if it still drifts.
    heard_ms
        What others told so long before something began here is about the same beginning: no two
        look at the same moment.
    """

    def __init__(self, limits: DriftLimits, cooldown_s: float, heard_ms: int) -> None:
        self._limits = limits
        self._cooldown_ms = 1_000 * cooldown_s
        self._heard_ms = heard_ms
        self._drifting: dict[_Key, int] = {}
        self._ended_ms: dict[_Key, int] = {}
        self._told: set[_Key] = set()
        self._told_at_ms: int | None = None
        self._newest = ""

    def begin_anew(self) -> None:
        """Let nothing drift: another version is compared with. The cooldown goes on."""
        self._drifting = {}
        self._ended_ms = {}
        self._told = set()

    def drifting(self, finding: Finding) -> bool:
        """Whether it drifts, as of the last look."""
        return (finding.kind, finding.name) in self._drifting

    def follow(self, found: Sequence[Finding], now_ms: int) -> None:
        """Take a look in. What could not be compared this time is as it was."""
        for one in found:
            key = (one.kind, one.name)
            if excess(one) < ENDS_BELOW:
                self._drifting.pop(key, None)
                self._told.discard(key)
                self._ended_ms[key] = now_ms
            elif excess(one) >= 1.0 and self._limits.is_significant(one):
                self._drifting.setdefault(key, now_ms)

    def untold(self) -> bool:
        """Whether something drifts of which nothing has been told."""
        return bool(self._drifting.keys() - self._told)

    def hear(self, event: DriftEvent, *, same_version: bool) -> None:
        """Take in what was told: the cooldown begins, and what it names need not be told again.

        Parameters
        ----------
        same_version
            Whether it is of the version that is compared with now.
        """
        if self._told_at_ms is None or event.at_ms >= self._told_at_ms:
            self._told_at_ms = event.at_ms
            self._newest = event.event_id
        if not same_version:
            return
        for one in event.findings:
            key = (one.kind, one.name)
            begun_ms = self._drifting.get(key)
            if begun_ms is None or event.at_ms < begun_ms - self._heard_ms:
                continue
            # Of what has ended since, it tells nothing.
            if event.at_ms > self._ended_ms.get(key, -1):
                self._told.add(key)

    def to_tell(self, found: Sequence[Finding], now_ms: int) -> tuple[Finding, ...]:
        """All that drifts when there is something new to tell and no cooldown; else nothing."""
        if self._told_at_ms is not None and now_ms - self._told_at_ms < self._cooldown_ms:
            return ()
        drifting = [one for one in found if self.drifting(one)]
        if all((one.kind, one.name) in self._told for one in drifting):
            return ()
        return tuple(sorted(drifting, key=excess, reverse=True))

    def event_id(self, machine_type: str, bundle_sha256: str) -> str:
        """Name the next event, the same for all replicas: two that tell of it tell one event."""
        begun = sorted(f"{kind}/{name}" for kind, name in self._drifting.keys() - self._told)
        told = (machine_type, bundle_sha256, self._newest, *begun)
        return str(uuid5(_EVENTS, "\n".join(told)))
