"""Places window means among the clusters of one machine, adapting as it goes. NumPy only.

It knows distances and adaptation; it must not know raw rows, windows or sensors' units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.covariance import Metric
from faultline.detector.distance import has_missing

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
    longest_step_ms
        A step that took longer was a silence, which shows no state.
    """

    metric: Metric
    clusters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    boundary: float
    longest_step_ms: int


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

    What is learnt at the rule's steps comes first, by the step's row alone; then all rows are
    placed at once, each by what was known before it.

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
    stretches: list[_Stretch] = []
    start = 0
    for at in rule.steps(adaptation.rows, n).tolist():
        stretches.append(_Stretch(start, at + 1, adaptation))
        start = at + 1
        if judged[at]:
            row = slice(at, at + 1)
            step = _step(
                frame,
                adaptation,
                int(timestamps_ms[at]),
                means[row],
                None if widened is None else widened[row],
            )
            adaptation = _adapted(frame, rule, adaptation, step)
    if start < n:
        stretches.append(_Stretch(start, n, adaptation))
    found = _found(frame, stretches, means, widened, judged)
    return Placed(*found, replace(adaptation, rows=adaptation.rows + n))


class _Stretch(NamedTuple):
    """Rows between two steps, and what was known of the machine there."""

    start: int
    stop: int
    known: Adaptation


class _Found(NamedTuple):
    distance: NDArray[np.float64]
    cluster: NDArray[np.int64]
    settled: NDArray[np.bool_]
    shifts: NDArray[np.float64]
    shift_of: NDArray[np.int64]


class _Step(NamedTuple):
    at_ms: int
    place: NDArray[np.float64]
    deviation: NDArray[np.float64]
    is_beyond: bool
    is_settled: bool


def _found(
    frame: Frame,
    stretches: Sequence[_Stretch],
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
    judged: NDArray[np.bool_],
) -> _Found:
    """Find the nearest cluster as it has drifted, or the new state where that is nearer."""
    n, d = means.shape
    # Every stretch has two shifts: of the clusters, and of the cluster that the new state is near.
    shifts, shift_of = np.empty((2 * len(stretches), d)), np.empty(n, dtype=np.int64)
    places = np.empty((n, d))
    for index, (start, stop, known) in enumerate(stretches):
        shift = frame.baseline + known.offset
        shifts[2 * index : 2 * index + 2] = shift
        shift_of[start:stop] = 2 * index
        np.subtract(means[start:stop], shift, out=places[start:stop])
    if judged.all() and n:
        distance, cluster = frame.metric.nearest(places, widened, frame.clusters)
    else:
        distance, cluster = np.full(n, np.nan), np.full(n, -1, dtype=np.int64)
        if judged.any():
            distance[judged], cluster[judged] = frame.metric.nearest(
                places[judged], None if widened is None else widened[judged], frame.clusters
            )
    found = _Found(distance, cluster, np.zeros(n, dtype=np.bool_), shifts, shift_of)
    for index, (start, stop, known) in enumerate(stretches):
        if known.level is not None:
            beyond = start + np.flatnonzero(distance[start:stop] > frame.boundary)
            if len(beyond):
                shifts[2 * index + 1] = _settle(
                    frame, known.level, beyond=beyond, means=means, widened=widened, found=found
                )
    return found


def _settle(
    frame: Frame,
    level: NDArray[np.float64],
    *,
    beyond: NDArray[np.int64],
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
    found: _Found,
) -> NDArray[np.float64]:
    """Write into `found` which rows are nearer to the new state; return its cluster's shift."""
    origin = np.zeros((1, means.shape[1]))
    home = int(frame.metric.nearest(level[np.newaxis], None, frame.clusters)[1][0])
    to_level, _ = frame.metric.nearest(
        means[beyond] - frame.baseline - level,
        None if widened is None else widened[beyond],
        origin,
    )
    is_nearer = to_level < found.distance[beyond]
    nearer, to_level = beyond[is_nearer], to_level[is_nearer]
    found.distance[nearer] = to_level
    found.cluster[nearer] = home
    found.settled[nearer] = to_level <= frame.boundary
    found.shift_of[nearer] += 1
    shift: NDArray[np.float64] = frame.baseline + level - frame.clusters[home]
    return shift


def _step(
    frame: Frame,
    known: Adaptation,
    at_ms: int,
    mean: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> _Step:
    """Place one row that is a step: its mean, and what it was widened by, of the shape (1, d)."""
    if known.level is None:
        moved = mean - (frame.baseline + known.offset)
        distance, cluster = frame.metric.nearest(moved, widened, frame.clusters)
        deviation, is_settled = moved[0] - frame.clusters[cluster[0]], False
    else:
        found = _found(frame, [_Stretch(0, 1, known)], mean, widened, np.ones(1, dtype=np.bool_))
        distance, is_settled = found.distance, bool(found.settled[0])
        deviation = mean[0] - found.shifts[found.shift_of[0]] - frame.clusters[found.cluster[0]]
    place = mean[0] - frame.baseline
    if has_missing(mean):
        deviation = np.nan_to_num(deviation)
    return _Step(at_ms, place, deviation, bool(distance[0] > frame.boundary), is_settled)


def _adapted(frame: Frame, rule: AdaptationRule, adaptation: Adaptation, step: _Step) -> Adaptation:
    if step.is_settled:
        # The new state is not followed as it drifts: there has been no history of it.
        return adaptation
    if not step.is_beyond:
        # Back to what was learnt: the new state is over, and would alarm if it came again.
        offset = _within(frame, adaptation.offset + rule.share * step.deviation)
        if adaptation.proposed is not None:
            adaptation = adaptation.without_proposal()
        return replace(adaptation, offset=offset, level=None)
    if not rule.settle_ms:
        return adaptation
    if not _is_stable(frame, adaptation, step.place):
        return adaptation.proposing(step.place, step.at_ms)
    adaptation = adaptation.proposing_on(step.place, step.at_ms, frame.longest_step_ms)
    if adaptation.proposed_for_ms < rule.settle_ms:
        return adaptation
    return replace(adaptation.without_proposal(), level=_level(frame, adaptation))


def _level(frame: Frame, adaptation: Adaptation) -> NDArray[np.float64]:
    """Place of the proposed state; where a sensor was never there, that of its nearest cluster."""
    assert adaptation.proposed is not None
    moved = (adaptation.proposed - adaptation.offset)[np.newaxis]
    _, nearest = frame.metric.nearest(moved, None, frame.clusters)
    expected = adaptation.offset + frame.clusters[nearest[0]]
    return np.where(np.isnan(adaptation.proposed), expected, adaptation.proposed)


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
    if np.isnan(step).all():
        return False
    distance = frame.metric.nearest(step, None, np.zeros((1, len(place))))[0]
    return bool(distance[0] <= frame.boundary)
