"""Places window means among the clusters of one machine, adapting as it goes. NumPy only.

It knows distances and adaptation; it must not know raw rows, windows or sensors' units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.following import learnt
from faultline.detector.frame import Frame
from faultline.detector.new_normal import NewNormal


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
    max_gap_ms: int,
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
    timestamps_ms
        Shape (n + 1,): of the row before, too; shape (n,) where there was none.
    max_gap_ms
        A longer silence shows no state and takes no time.
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
    steps = [at for at in rule.steps(adaptation.rows, n) if judged[at]]
    if steps or adaptation.proposed is not None:
        watched_ms = _watched_ms(timestamps_ms, n, max_gap_ms)
    if steps:
        after = learnt(
            frame,
            rule,
            adaptation,
            times_ms=watched_ms[steps],
            means=means[steps],
            widened=None if widened is None else widened[steps],
        )
        for at, known in zip(steps, after, strict=True):
            stretches.append(_Stretch(start, at + 1, adaptation))
            start, adaptation = at + 1, known
    if start < n or not stretches:
        stretches.append(_Stretch(start, n, adaptation))
    found = _found(frame, stretches, means, widened, judged)
    adaptation = adaptation.later(n)
    if adaptation.proposed is not None and n:
        adaptation = replace(adaptation, proposed=adaptation.proposed.later(watched_ms.item(-1)))
    return Placed(*found, adaptation)


def _watched_ms(timestamps_ms: NDArray[np.int64], n: int, max_gap_ms: int) -> NDArray[np.int64]:
    """How long the machine was watched from the row before to each of the last n; shape (n,)."""
    elapsed = np.diff(timestamps_ms)
    watched = np.zeros(n, dtype=np.int64)
    np.cumsum(np.where(elapsed > max_gap_ms, 0, elapsed), out=watched[n - len(elapsed) :])
    return watched


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
        shifts, shift_of = frame.shift(stretches[0].known), np.zeros(n, dtype=np.int64)
        places = means - shifts
    else:
        shifts = np.concatenate([frame.shift(known) for _, _, known in stretches])
        lengths = [stop - start for start, stop, _ in stretches]
        shift_of = np.repeat(np.arange(len(stretches)), lengths)
        places = shifts.take(shift_of, axis=0)
        np.subtract(means, places, out=places)
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
    places = means[beyond] - frame.baseline
    distance, home = frame.nearest_state(
        new_normal, places, None if widened is None else widened[beyond]
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
