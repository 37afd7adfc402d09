"""Places window means among the clusters of one machine, adapting as it goes. NumPy only.

It knows distances and adaptation; it must not know raw rows, windows or sensors' units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.covariance import Metric
from faultline.detector.distance import has_missing
from faultline.detector.new_normal import NewNormal, Proposal

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

    @cached_property
    def origin(self) -> NDArray[np.float64]:
        """A single cluster from which a deviation is measured; shape (1, d)."""
        return np.zeros((1, len(self.baseline)))


class Placed(NamedTuple):
    """Where n rows are.

    Attributes
    ----------
    distance, cluster
        Shape (n,): NaN and -1 where not judged.
    settled
        Shape (n,), bool: beyond every cluster, but within a state of the new normal.
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
    for at in rule.steps(adaptation.rows, n):
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
    if start < n or not stretches:
        stretches.append(_Stretch(start, n, adaptation))
    found = _found(frame, stretches, means, widened, judged)
    return Placed(*found, adaptation.later(n))


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
    """One row that a machine is learnt by.

    `place` is where it is, `cluster` the nearest one, and `deviation` how far it is from that.
    """

    at_ms: int
    place: NDArray[np.float64]
    cluster: int
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
    """Find the nearest cluster as it has drifted, or the state of the new normal that is nearer."""
    n = len(means)
    if len(stretches) == 1:
        shifts, shift_of = (
            (frame.baseline + stretches[0].known.offset)[np.newaxis],
            np.zeros(n, dtype=np.int64),
        )
        places = means - shifts
    else:
        shifts = frame.baseline + np.array([known.offset for _, _, known in stretches])
        shift_of = np.repeat(
            np.arange(len(stretches)), [stop - start for start, stop, _ in stretches]
        )
        places = means - shifts.take(shift_of, axis=0)
    count = np.count_nonzero(judged)
    if n and count == n:
        distance, cluster = frame.metric.nearest(places, widened, frame.clusters)
    else:
        distance, cluster = np.full(n, np.nan), np.full(n, -1, dtype=np.int64)
        if count:
            distance[judged], cluster[judged] = frame.metric.nearest(
                places[judged], None if widened is None else widened[judged], frame.clusters
            )
    found = _Found(distance, cluster, np.zeros(n, dtype=np.bool_), shifts, shift_of)
    for start, stop, known in stretches:
        if known.new_normal is not None:
            beyond = start + np.flatnonzero(distance[start:stop] > frame.boundary)
            if len(beyond):
                found = _settled(
                    frame, known.new_normal, found, beyond, means=means, widened=widened
                )
    return found


def _settled(
    frame: Frame,
    new_normal: NewNormal,
    found: _Found,
    beyond: NDArray[np.int64],
    *,
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> _Found:
    """Place those of the rows `beyond` every cluster that are nearer to the new normal there.

    Writes into the arrays of `found`; the shifts of its states' clusters come after the others.
    """
    distance, home = _nearest_state(
        frame,
        new_normal,
        means[beyond] - frame.baseline,
        None if widened is None else widened[beyond],
    )
    is_nearer = distance < found.distance[beyond]
    nearer, distance, home = beyond[is_nearer], distance[is_nearer], home[is_nearer]
    found.distance[nearer] = distance
    found.cluster[nearer] = home
    found.settled[nearer] = distance <= frame.boundary
    homes, which = np.unique(home, return_inverse=True)
    found.shift_of[nearer] = len(found.shifts) + which
    shifts = frame.baseline + new_normal.places[homes] - frame.clusters[homes]
    return found._replace(shifts=np.concatenate((found.shifts, shifts)))


def _nearest_state(
    frame: Frame,
    new_normal: NewNormal,
    places: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far n places are from the nearest state of the new normal, and which cluster's it is."""
    homes = new_normal.clusters
    distances = np.array(
        [
            frame.metric.nearest(places - new_normal.places[home], widened, frame.origin)[0]
            for home in homes
        ]
    )
    return distances.min(axis=0), homes[distances.argmin(axis=0)]


def _step(
    frame: Frame,
    known: Adaptation,
    at_ms: int,
    mean: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> _Step:
    """Place one row that is a step: its mean, and what it was widened by, of the shape (1, d)."""
    moved = mean - (frame.baseline + known.offset)
    distance, nearest = frame.metric.nearest(moved, widened, frame.clusters)
    cluster, is_beyond, is_settled = nearest.item(), distance.item() > frame.boundary, False
    place = mean - frame.baseline
    if is_beyond and known.new_normal is not None:
        to_state, _ = _nearest_state(frame, known.new_normal, place, widened)
        is_settled = to_state.item() <= frame.boundary
    deviation = moved[0] - frame.clusters[cluster]
    if has_missing(mean):
        deviation = np.nan_to_num(deviation)
    return _Step(at_ms, place[0], cluster, deviation, is_beyond, is_settled)


def _adapted(frame: Frame, rule: AdaptationRule, adaptation: Adaptation, step: _Step) -> Adaptation:
    if step.is_settled:
        # The new state is not followed as it drifts: there has been no history of it.
        return adaptation
    if step.is_beyond:
        return _proposing(frame, adaptation, step, rule.settle_ms) if rule.settle_ms else adaptation
    offset = _within(frame, adaptation.offset + rule.share * step.deviation)
    new_normal, proposed = adaptation.new_normal, adaptation.proposed
    if new_normal is not None:
        new_normal = new_normal.after_ordinary(step.cluster)
    if proposed is not None:
        proposed = proposed.after_ordinary(step.cluster, step.at_ms)
    return Adaptation(adaptation.rows, offset, new_normal, proposed, adaptation.tracked)


def _proposing(frame: Frame, adaptation: Adaptation, step: _Step, settle_ms: int) -> Adaptation:
    """Learn from a step beyond the boundary: a proposed state goes on, or there is another one."""
    proposed, cluster = adaptation.proposed, step.cluster
    known = None if proposed is None else _nearest_proposed(frame, proposed, step.place)
    if proposed is not None and known is not None:
        proposed = proposed.seen(step.place, known, step.at_ms, frame.longest_step_ms)
    elif proposed is not None and proposed.has_room(cluster):
        proposed = proposed.also(step.place, cluster, step.at_ms)
    else:
        proposed = Proposal.first(step.place, cluster, len(frame.clusters), step.at_ms)
    if proposed.for_ms < settle_ms:
        return replace(adaptation, proposed=proposed)
    expected = adaptation.offset + frame.clusters
    new_normal = proposed.settled(adaptation.new_normal, expected)
    return replace(adaptation, new_normal=new_normal, proposed=None)


def _nearest_proposed(frame: Frame, proposed: Proposal, place: NDArray[np.float64]) -> int | None:
    """Which of the proposed states a machine beyond the boundary is still in; None if in none."""
    steps = place - proposed.places
    comparable = np.flatnonzero(~np.isnan(steps).all(axis=1))
    if not len(comparable):
        return None
    distance = frame.metric.nearest(steps[comparable], None, frame.origin)[0]
    nearest = int(distance.argmin())
    return int(comparable[nearest]) if distance[nearest] <= frame.boundary else None


def _within(frame: Frame, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw an offset in to the part of the boundary that drift may be followed to."""
    length = frame.metric.nearest(offset[np.newaxis], None, frame.origin)[0].item()
    limit = FOLLOWED_SHARE * frame.boundary
    return offset if length <= limit else offset * (limit / length)
