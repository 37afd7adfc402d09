"""How a challenger does beside the champion: counts over the readings that both have scored.

The values of `model.comparisons`. Knows nothing of how verdicts are made or where counts are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

SCORE_EDGES = (
    *(tenth / 10 for tenth in range(1, 11)),
    *(1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 3.0, 5.0, 10.0),
)
"""Upper ends of the bins of a score distribution, included; a last bin has what is above. The
boundary, 1.0, is one of them."""
BINS = len(SCORE_EDGES) + 1
_EDGES = np.array(SCORE_EDGES)

KEPT_MS = 90 * 24 * 3_600 * 1_000
"""What was counted so long before the latest counts of its model is dropped: as long as the topics
tell of versions. No challenger waits for its decision for a quarter of a year."""


class Pair(NamedTuple):
    """What is compared.

    The numbers alone don't say it: deleted and registered anew, a model counts from 1 again. The
    sums are those of the bundles; an empty one is not known.
    """

    model_name: str
    champion_version: str
    challenger_version: str
    champion_sha256: str = ""
    challenger_sha256: str = ""

    def covers(self, other: Pair) -> bool:
        """Whether the other is this pair, as far as this one's sums are known.

        >>> Pair("m", "1", "2", "", "ab").covers(Pair("m", "1", "2", "cd", "ab"))
        True
        """
        return self[:3] == other[:3] and all(
            own in {"", its} for own, its in zip(self[3:], other[3:], strict=True)
        )


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one version made of the readings that both scored.

    Attributes
    ----------
    failures
        Readings it calls a failure.
    alarms
        Alarms that the alarm rule opened on its verdicts.
    scores
        Readings per bin; see `SCORE_EDGES`.
    """

    failures: int = 0
    alarms: int = 0
    scores: tuple[int, ...] = (0,) * BINS


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one pair of versions.

    Attributes
    ----------
    counter_id
        Whose counts: a process has one per pair, and its counts only grow, so that the one with
        the most readings replaces those before. Empty for a sum of several.
    since_ms, until_ms
        When the first and the last of the readings were compared, milliseconds since the epoch.
    readings
        Scored by both.
    agreed
        Of these, called a failure by both or by neither.
    champion_sha256, challenger_sha256
        Sums of their bundles; empty in counts from before they were told.
    """

    counter_id: str
    model_name: str
    champion_version: str
    challenger_version: str
    since_ms: int
    until_ms: int
    readings: int
    agreed: int
    champion: Side
    challenger: Side
    champion_sha256: str = ""
    challenger_sha256: str = ""

    @property
    def pair(self) -> Pair:
        """What is compared."""
        return Pair(
            self.model_name,
            self.champion_version,
            self.challenger_version,
            self.champion_sha256,
            self.challenger_sha256,
        )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Comparison)


def encode(comparison: Comparison) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(comparison)


def decode(value: bytes) -> Comparison:
    """Decode a message of `model.comparisons`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)


def binned(scores: NDArray[np.float64]) -> tuple[int, ...]:
    """Count scores per bin.

    >>> counts = binned(np.array([0.05, 1.0, 1.05, 99.0]))
    >>> counts[0], counts[9], counts[10], counts[-1]
    (1, 1, 1, 1)
    """
    places = np.searchsorted(_EDGES, scores, side="left")
    return tuple(np.bincount(places, minlength=BINS).tolist())


def totals(counters: Iterable[Comparison]) -> list[Comparison]:
    """Add up the counters of each pair; the pair compared last comes first."""
    ordered = sorted(counters, key=lambda one: one.pair)
    sums = [_sum(list(group)) for _, group in groupby(ordered, key=lambda one: one.pair)]
    return sorted(sums, key=lambda one: -one.until_ms)


def _sum(counters: Sequence[Comparison]) -> Comparison:
    return structs.replace(
        counters[0],
        counter_id="",
        since_ms=min(one.since_ms for one in counters),
        until_ms=max(one.until_ms for one in counters),
        readings=sum(one.readings for one in counters),
        agreed=sum(one.agreed for one in counters),
        champion=added(*(one.champion for one in counters)),
        challenger=added(*(one.challenger for one in counters)),
    )


def added(*sides: Side) -> Side:
    """Add up what was counted of one version.

    >>> added(Side(failures=1), Side(failures=2, alarms=1)).failures
    3
    """
    return Side(
        failures=sum(side.failures for side in sides),
        alarms=sum(side.alarms for side in sides),
        scores=tuple(map(sum, zip(*(side.scores for side in sides), strict=True))),
    )
