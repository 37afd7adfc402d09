"""Places window means among the clusters of one machine, adapting as it goes. NumPy only.

It knows distances and adaptation; it must not know raw rows, windows or sensors' units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.covariance import Metric

FOLLOWED_SHARE = 0.5
"""Drift is followed no further than this part of the boundary: what goes on drifting is found."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Where one machine's clusters are, and what counts as far.

    Attributes
    ----------
    metric
        Of the distance.
    clusters
        Shape (k, d), scaled.
    baseline
        Shape (d,), scaled: how far the machine is from its type.
    boundary
        The distance that scores 1.0.
    """

    metric: Metric
    clusters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    boundary: float


@dataclass(frozen=True, eq=False)
class Placed:
    """Where n rows are.

    Attributes
    ----------
    distance, cluster
        Shape (n,): NaN and -1 where not judged.
    settled
        Shape (n,), bool: beyond every cluster, but within the new state.
    shifts, shift_of
        Shapes (s, d) and (n,): see `Scores`.
    adaptation
        After the last row.
    """

    distance: NDArray[np.float64]
    cluster: NDArray[np.int64]
    settled: NDArray[np.bool_]
    shifts: NDArray[np.float64]
    shift_of: NDArray[np.int64]
    adaptation: Adaptation


def place(
    frame: Frame,
    rule: AdaptationRule,
    adaptation: Adaptation,
    *,
    timestamps_ms: NDArray[np.int64],
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
    judged: NDArray[np.bool_],
) -> Placed:
    """Place the next rows of one machine.

    Between two steps of the rule nothing changes, so the rows in between are placed at once.

    Parameters
    ----------
    frame
        The machine's clusters.
    adaptation
        What was learnt of it before, in the same scales.
    means
        Shape (n, d), scaled; NaN is missing.
    widened
        Shape (n, d), or None for 1 everywhere.
    judged
        Shape (n,), bool: which rows have enough to be placed.
    """
    n = len(means)
    # Every stretch has two shifts: of the clusters, and of the cluster that the new state is near.
    shifts: list[NDArray[np.float64]] = []
    distance, cluster = np.full(n, np.nan), np.full(n, -1, dtype=np.int64)
    settled, shift_of = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
    for start, stop, is_step in _stretches(rule.steps(adaptation.rows, n), n):
        rows = np.flatnonzero(judged[start:stop]) + start
        taken = slice(start, stop) if len(rows) == stop - start else rows
        found = _nearest(
            frame, adaptation, means[taken], None if widened is None else widened[taken]
        )
        distance[taken], cluster[taken], settled[taken] = (
            found.distance,
            found.cluster,
            found.settled,
        )
        shift_of[taken] = len(shifts) + found.by_level
        shifts += found.shifts
        if is_step and judged[stop - 1]:
            at = stop - 1
            adaptation = _adapted(
                frame,
                rule,
                adaptation,
                _Step(
                    at_ms=int(timestamps_ms[at]),
                    place=np.nan_to_num(means[at] - frame.baseline),
                    deviation=np.nan_to_num(
                        means[at] - shifts[shift_of[at]] - frame.clusters[cluster[at]]
                    ),
                    is_beyond=bool(distance[at] > frame.boundary),
                    is_settled=bool(settled[at]),
                ),
            )
    after = replace(adaptation, rows=adaptation.rows + n)
    moved = np.array(shifts).reshape(-1, means.shape[1])
    return Placed(distance, cluster, settled, moved, shift_of, after)


class _Found(NamedTuple):
    distance: NDArray[np.float64]
    cluster: NDArray[np.int64]
    settled: NDArray[np.bool_]
    by_level: NDArray[np.bool_]
    shifts: tuple[NDArray[np.float64], NDArray[np.float64]]


class _Step(NamedTuple):
    at_ms: int
    place: NDArray[np.float64]
    deviation: NDArray[np.float64]
    is_beyond: bool
    is_settled: bool


def _stretches(steps: NDArray[np.int64], n: int) -> Iterator[tuple[int, int, bool]]:
    """Cut n rows after every step: start, stop, and whether the last row is a step."""
    start = 0
    for step in steps.tolist():
        yield start, step + 1, True
        start = step + 1
    if start < n:
        yield start, n, False


def _nearest(
    frame: Frame,
    adaptation: Adaptation,
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> _Found:
    """Find the nearest cluster as it has drifted, or the new state where that is nearer."""
    shift = frame.baseline + adaptation.offset
    none = np.zeros(len(means), dtype=np.bool_)
    if not len(means):
        return _Found(np.empty(0), np.empty(0, dtype=np.int64), none, none, (shift, shift))
    distance, cluster = frame.metric.nearest(means - shift, widened, frame.clusters)
    beyond = np.flatnonzero(distance > frame.boundary)
    if adaptation.level is None or not len(beyond):
        return _Found(distance, cluster, none, none, (shift, shift))
    origin = np.zeros((1, means.shape[1]))
    _, home = frame.metric.nearest(adaptation.level[np.newaxis], None, frame.clusters)
    to_level, _ = frame.metric.nearest(
        means[beyond] - frame.baseline - adaptation.level,
        None if widened is None else widened[beyond],
        origin,
    )
    by_level = none.copy()
    by_level[beyond] = to_level < distance[beyond]
    distance[beyond] = np.minimum(distance[beyond], to_level)
    cluster[by_level] = home[0]
    settled = by_level & (distance <= frame.boundary)
    moved = frame.baseline + adaptation.level - frame.clusters[home[0]]
    return _Found(distance, cluster, settled, by_level, (shift, moved))


def _adapted(frame: Frame, rule: AdaptationRule, adaptation: Adaptation, step: _Step) -> Adaptation:
    if step.is_settled:
        assert adaptation.level is not None
        return replace(adaptation, level=adaptation.level + rule.share * step.deviation)
    if not step.is_beyond:
        # Back to what was learnt: the new state is over, and would alarm if it came again.
        offset = _within(frame, adaptation.offset + rule.share * step.deviation)
        return replace(adaptation.without_proposal(), offset=offset, level=None)
    if not rule.settle_ms:
        return adaptation
    if not _is_stable(frame, adaptation, step.place):
        return adaptation.proposing(step.place, step.at_ms)
    adaptation = adaptation.proposing_on(step.place)
    if step.at_ms - adaptation.proposed_since_ms < rule.settle_ms:
        return adaptation
    return replace(adaptation.without_proposal(), level=adaptation.proposed)


def _within(frame: Frame, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw an offset in to the part of the boundary that drift may be followed to."""
    origin = np.zeros((1, len(offset)))
    distance = float(frame.metric.nearest(offset[np.newaxis], None, origin)[0][0])
    limit = FOLLOWED_SHARE * frame.boundary
    return offset if distance <= limit else offset * (limit / distance)


def _is_stable(frame: Frame, adaptation: Adaptation, place: NDArray[np.float64]) -> bool:
    """Whether a machine beyond the boundary is still in the state it was found in."""
    if adaptation.proposed is None:
        return False
    step = (place - adaptation.proposed)[np.newaxis]
    distance = frame.metric.nearest(step, None, np.zeros((1, len(place))))[0]
    return bool(distance[0] <= frame.boundary)
