"""What the gate is told of a version, and the limits that it holds that against. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from faultline.detector.config import FitConfig
from faultline.detector.stability import LEAST_STABILITY


class BlockRate(NamedTuple):
    """A held-out block: its windows, and the part of them above the boundary."""

    windows: int
    alarm_rate: float


class Pair(NamedTuple):
    """The same figure of both, taken on the same rows."""

    candidate: float
    champion: float


class KnownFaults(NamedTuple):
    """How many of the known faults in the stored readings are found.

    Attributes
    ----------
    by_champion
        None while there is none.
    """

    faults: int
    by_candidate: int
    by_champion: int | None


@dataclass(frozen=True)
class Beside:
    """How the candidate does beside the champion.

    Attributes
    ----------
    version
        The champion's.
    alarm_share
        Part of healthy rows that are in alarm; None where it cannot be compared.
    recall
        Of faults injected into the same rows; None where it cannot be compared.
    unwatched
        Sensors that the champion looks at, and that the candidate was told to leave out.
    silenced
        Part of all rows that are in alarm by the champion, and not by the candidate that has
        learnt from them; None where it cannot be said.
    times
        From when to when the rows are that they were compared on, in words.
    missing
        Which figures could not be compared and why, in words; None when nothing is missing, or
        nothing was asked for.
    notes
        On what rows they were compared, or why they were not.
    """

    version: str
    alarm_share: Pair | None = None
    recall: Pair | None = None
    unwatched: tuple[str, ...] = ()
    silenced: float | None = None
    times: str = ""
    missing: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateLimits:
    """What the gate asks for.

    Attributes
    ----------
    min_rows
        Windows learnt from of one machine, at least.
    min_silhouette
        Of the chosen clusters, at least.
    pass_single_cluster
        Whether one cluster, whose silhouette is undefined, passes.
    max_alarm_rate
        `ordinary_alarm_rate`, at most.
    min_stability
        Adjusted Rand index of the chosen clusters under resampling, at least.
    min_cluster_share
        Part of the windows in the smallest cluster, at least.
    max_more_alarms
        By how much the part of healthy rows in alarm may be above the champion's.
    max_less_recall
        By how much a recall may be below the champion's.
    max_silenced
        Part of the rows learnt from that are in alarm by the champion and not by the candidate, at
        most.
    min_shadow_readings
        Live readings that a version scores beside the champion, if there is one, at least.
    """

    min_rows: int
    min_silhouette: float
    pass_single_cluster: bool
    max_alarm_rate: float
    min_stability: float = LEAST_STABILITY
    min_cluster_share: float = FitConfig.smallest_cluster_share
    max_more_alarms: float = 0.05
    max_less_recall: float = 0.05
    max_silenced: float = 0.1
    min_shadow_readings: int = 0
