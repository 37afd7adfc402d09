"""What a step teaches of a machine: how it drifts, and which lasting states are its new normal.

By the step's row alone and what was learnt before. NumPy only; it must not know raw rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.distance import has_missing
from faultline.detector.frame import Frame
from faultline.detector.new_normal import Proposal

FOLLOWED_SHARE = 0.5
"""Drift is followed no further than this part of the boundary: what goes on drifting is found."""


_MOST_AT_ONCE = 64
"""So many steps are looked at together at most: what comes after one that is beyond is in vain."""


def learnt(
    frame: Frame,
    rule: AdaptationRule,
    known: Adaptation,
    *,
    times_ms: NDArray[np.int64],
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> list[Adaptation]:
    """Learn from rows that are steps, from each by what was learnt before it.

    Parameters
    ----------
    known
        What was learnt before the first.
    times_ms
        Shape (s,): when they were, on the clock of `Proposal.last_ms`.
    means, widened
        Shape (s, d): as `place` takes them for n rows.

    Returns
    -------
    list
        What is known after each.
    """
    after: list[Adaptation] = []
    at_once = 1
    while len(after) < len(means):
        at = len(after)
        if known.new_normal is not None or known.proposed is not None:
            at_once = 1
        rows = slice(at, at + at_once)
        own_widened = None if widened is None else widened[rows]
        offsets, clusters = _drifted(frame, rule, known, means[rows], own_widened)
        if offsets:
            after += [
                _ordinary(known, offset, cluster, at_ms)
                for offset, cluster, at_ms in zip(
                    offsets, clusters.tolist(), times_ms[rows].tolist(), strict=False
                )
            ]
        else:
            step = _Step(
                times_ms.item(at),
                means[at] - frame.baseline,
                clusters.item(0),
                None if widened is None else widened[at : at + 1],
            )
            after.append(_beyond(frame, rule, known, step))
        at_once = min(4 * at_once, _MOST_AT_ONCE) if len(offsets) == at_once else 1
        known = after[-1]
    return after


def _drifted(
    frame: Frame,
    rule: AdaptationRule,
    known: Adaptation,
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Follow the drift through steps (s, d) up to the first that is beyond the boundary.

    The clusters that they are nearest to are foreseen by what is known now. Of those that turn out
    otherwise as the drift is followed, the first ends it, too; it is the first of the next ones.

    Returns
    -------
    offsets
        After each step, as far as it went.
    clusters
        Shape (s,): the nearest ones.
    """
    distance, clusters = frame.metric.nearest(means - frame.shift(known), widened, frame.clusters)
    is_missing = has_missing(means)
    share = np.array(rule.share)  # NumPy takes an array sooner than a number
    offsets = [known.offset]
    for mean, centre in zip(means, frame.clusters[clusters], strict=True):
        deviation = mean - (frame.baseline + offsets[-1]) - centre
        if is_missing:
            deviation = np.nan_to_num(deviation)
        offsets.append(offsets[-1] + share * deviation)
    is_ordinary = distance <= frame.boundary
    if len(means) > 1:
        moved = means - (frame.baseline + np.array(offsets[:-1]))
        distance, nearest = frame.metric.nearest(moved, widened, frame.clusters)
        is_ordinary = (distance <= frame.boundary) & (nearest == clusters)
    lengths, limit = frame.lengths(np.array(offsets[1:])), FOLLOWED_SHARE * frame.boundary
    followed: list[NDArray[np.float64]] = []
    for ok, offset, length in zip(is_ordinary.tolist(), offsets[1:], lengths.tolist(), strict=True):
        if not ok:
            break
        if length > limit:
            followed.append(offset * (limit / length))
            break
        followed.append(offset)
    return followed, clusters


def _ordinary(
    known: Adaptation, offset: NDArray[np.float64], cluster: int, at_ms: int
) -> Adaptation:
    """What is known after a step within a cluster that moved the offset."""
    new_normal, proposed = known.new_normal, known.proposed
    if new_normal is not None:
        new_normal = new_normal.after_ordinary(cluster)
    if proposed is not None:
        proposed = proposed.after_ordinary(cluster, at_ms)
    return Adaptation(known.rows, offset, new_normal, proposed, known.tracked)


class _Step(NamedTuple):
    """A step beyond the boundary of every cluster: its place (d,), and the nearest cluster."""

    at_ms: int
    place: NDArray[np.float64]
    cluster: int
    widened: NDArray[np.float64] | None


def _beyond(frame: Frame, rule: AdaptationRule, known: Adaptation, step: _Step) -> Adaptation:
    """What is known after a step beyond the boundary of every cluster."""
    if known.new_normal is not None:
        distance, _ = frame.nearest_state(known.new_normal, step.place[np.newaxis], step.widened)
        if distance.item() <= frame.boundary:
            # The new state is not followed as it drifts: there has been no history of it.
            return known
    return _proposing(frame, rule.settle_ms, known, step) if rule.settle_ms else known


def _proposing(frame: Frame, settle_ms: int, known: Adaptation, step: _Step) -> Adaptation:
    """Go on with the state that is proposed, or propose another one."""
    proposed, cluster = known.proposed, step.cluster
    home = None if proposed is None else _nearest_proposed(frame, proposed, step.place)
    if proposed is not None and home is not None:
        proposed = proposed.seen(step.place, home, step.at_ms)
    elif proposed is not None and proposed.has_room(cluster):
        proposed = proposed.also(step.place, cluster, step.at_ms)
    else:
        proposed = Proposal.first(step.place, cluster, len(frame.clusters), step.at_ms)
    if proposed.for_ms < settle_ms:
        return replace(known, proposed=proposed)
    new_normal = proposed.settled(known.new_normal, known.offset + frame.clusters)
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
