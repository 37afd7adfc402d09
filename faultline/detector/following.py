"""What a step teaches of a machine: how it drifts, and which lasting states are its new normal.

By the step's row alone and what was learnt before. NumPy only; it must not know raw rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.distance import has_missing
from faultline.detector.frame import Frame
from faultline.detector.new_normal import Proposal

FOLLOWED_SHARE = 0.5
"""Drift is followed no further than this part of the boundary: what goes on drifting is found."""


def adapted(
    frame: Frame,
    rule: AdaptationRule,
    known: Adaptation,
    *,
    at_ms: int,
    mean: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> Adaptation:
    """Learn from one row that is a step.

    Parameters
    ----------
    known
        What was learnt before.
    at_ms
        When it was.
    mean, widened
        Shape (1, d): as `place` takes them for n rows.
    """
    moved = mean - frame.shift(known)
    distance, nearest = frame.metric.nearest(moved, widened, frame.clusters)
    cluster = nearest.item()
    if distance.item() > frame.boundary:
        place = mean - frame.baseline
        if known.new_normal is not None:
            to_state, _ = frame.nearest_state(known.new_normal, place, widened)
            if to_state.item() <= frame.boundary:
                # The new state is not followed as it drifts: there has been no history of it.
                return known
        if not rule.settle_ms:
            return known
        return _proposing(frame, rule, known, at_ms=at_ms, place=place[0], cluster=cluster)
    deviation = moved[0] - frame.clusters[cluster]
    if has_missing(deviation):
        deviation = np.nan_to_num(deviation)
    offset = _within(frame, known.offset + rule.share * deviation)
    new_normal, proposed = known.new_normal, known.proposed
    if new_normal is not None:
        new_normal = new_normal.after_ordinary(cluster)
    if proposed is not None:
        proposed = proposed.after_ordinary(cluster, at_ms)
    return Adaptation(known.rows, offset, new_normal, proposed, known.tracked)


def _proposing(
    frame: Frame,
    rule: AdaptationRule,
    known: Adaptation,
    *,
    at_ms: int,
    place: NDArray[np.float64],
    cluster: int,
) -> Adaptation:
    """Learn from a step beyond the boundary: a proposed state goes on, or there is another one."""
    proposed = known.proposed
    home = None if proposed is None else _nearest_proposed(frame, proposed, place)
    if proposed is not None and home is not None:
        proposed = proposed.seen(place, home, at_ms, frame.longest_step_ms)
    elif proposed is not None and proposed.has_room(cluster):
        proposed = proposed.also(place, cluster, at_ms)
    else:
        proposed = Proposal.first(place, cluster, len(frame.clusters), at_ms)
    if proposed.for_ms < rule.settle_ms:
        return replace(known, proposed=proposed)
    expected = known.offset + frame.clusters
    new_normal = proposed.settled(known.new_normal, expected)
    return replace(known, new_normal=new_normal, proposed=None)


def _nearest_proposed(frame: Frame, proposed: Proposal, place: NDArray[np.float64]) -> int | None:
    """Which of the proposed states a machine beyond the boundary is still in; None if in none."""
    steps = place - proposed.places
    comparable = np.flatnonzero(~np.isnan(steps).all(axis=1))
    if not len(comparable):
        return None
    distance = frame.lengths(steps[comparable])
    nearest = int(distance.argmin())
    return int(comparable[nearest]) if distance[nearest] <= frame.boundary else None


def _within(frame: Frame, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw an offset in to the part of the boundary that drift may be followed to."""
    length = frame.lengths(offset[np.newaxis]).item()
    limit = FOLLOWED_SHARE * frame.boundary
    return offset if length <= limit else offset * (limit / length)
