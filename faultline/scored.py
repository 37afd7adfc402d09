"""Makes verdicts of a detector's scores: their status, why, and what is wrong with sensors.

It must not know readings, models' versions, alarms or state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Detector, Health, Scores
from faultline.detector.health import is_anywhere
from faultline.verdicts import Reason, SensorContribution, Status, Verdict


@dataclass(frozen=True)
class Explanation:
    """Which verdicts carry contributions, and how many.

    Attributes
    ----------
    min_score
        Verdicts with at least this score.
    sensors
        The largest so many; None for all. Shares are of the whole either way.
    """

    min_score: float
    sensors: int | None


NEAR_BOUNDARY = Explanation(min_score=0.8, sensors=10)
"""What the stream publishes: contributions near and above the boundary. The rest can be recomputed
from the stored readings and the named version."""
EVERYTHING = Explanation(min_score=0.0, sensors=None)

# By code: 0 to 2 for a row with a score (within the boundary, beyond it, in a lasting new state),
# then the detector's other states.
_STATUS = (
    Status.NORMAL,
    Status.FAILURE,
    Status.NEW_NORMAL,
    Status.WARMING_UP,
    Status.INSUFFICIENT_DATA,
)
_CODE_OF_STATE = np.array([0, 3, 4])
"""By `RowState`."""

_WELL: dict[str, str] = {}
_SICKNESSES = ("missing", "silent", "stuck", "out_of_range")


def verdicts_of(
    detector: Detector, times: NDArray[np.int64], scores: Scores, explanation: Explanation
) -> list[Verdict]:
    """Make a verdict of each of n scored rows, at times (n,) in milliseconds since the epoch."""
    # A score that is not there is above nothing.
    code = _CODE_OF_STATE.take(scores.state) + (scores.score > 1.0)
    code[scores.settled] = 2
    contributions = _contributions(detector, scores, explanation)
    health = _health(detector.sensors, scores.health)
    return [
        Verdict(
            timestamp_ms=at_ms,
            status=_STATUS[number],
            score=score,
            cluster=cluster,
            known=known,
            reason=Reason.SENSOR_FAULT if by_sensor else None,
            contributions=contributions.get(row, ()),
            health=health.get(row, _WELL),
        )
        if number <= 2
        else Verdict(timestamp_ms=at_ms, status=_STATUS[number], health=health.get(row, _WELL))
        for row, (at_ms, number, score, cluster, known, by_sensor) in enumerate(
            zip(
                times.tolist(),
                code.tolist(),
                scores.score.tolist(),
                scores.cluster.tolist(),
                scores.known.tolist(),
                scores.sensor_fault.tolist(),
                strict=True,
            )
        )
    ]


def _contributions(
    detector: Detector,
    scores: Scores,
    explanation: Explanation,
) -> dict[int, tuple[SensorContribution, ...]]:
    # Only a scored row has a score; NaN is not above anything.
    rows = (scores.score >= explanation.min_score).nonzero()[0]
    if not len(rows):
        return {}
    return {
        row: tuple([SensorContribution(*part) for part in explained])
        for row, explained in zip(
            rows.tolist(), detector.explain_rows(scores, rows, explanation.sensors), strict=True
        )
    }


def _health(sensors: tuple[str, ...], found: Health) -> dict[int, dict[str, str]]:
    """What is wrong with single sensors, for the rows where something is."""
    if not any(map(is_anywhere, found)):
        return {}
    # The later wins: a silent sensor is missing as well, one out of range may be stuck there.
    named = np.zeros(found.missing.shape, dtype=np.int8)
    for number, name in enumerate(_SICKNESSES, start=1):
        named[getattr(found, name)] = number
    # A sensor that is gone is gone for many rows: they share one dictionary.
    known: dict[bytes, dict[str, str]] = {}
    health: dict[int, dict[str, str]] = {}
    for row in np.flatnonzero(named.any(axis=1)).tolist():
        pattern = named[row].tobytes()
        if pattern not in known:
            known[pattern] = {
                sensors[column]: _SICKNESSES[named[row, column] - 1]
                for column in np.flatnonzero(named[row]).tolist()
            }
        health[row] = known[pattern]
    return health
