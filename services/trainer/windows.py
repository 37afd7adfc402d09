"""A sample of windows as the detector sees them, with their clusters. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory, RowState, Window
from faultline.rows import take

_MOST_ROWS = 20_000
_STRETCHES = 8


@dataclass(frozen=True, eq=False)
class WindowSample:
    """Windows of all machines.

    Attributes
    ----------
    columns
        Names of the d columns: the sensors, in the shape view their stretches.
    means
        Shape (n, d): window means in scales, without what the machine is known to differ by; 0
        where missing.
    cluster
        Shape (n,): the nearest of the k clusters.
    centres
        Shape (k, d).
    """

    columns: tuple[str, ...]
    means: NDArray[np.float64]
    cluster: NDArray[np.int64]
    centres: NDArray[np.float64]


def sample_windows(
    detector: Detector,
    sensors: tuple[str, ...],
    histories: Sequence[MachineHistory],
    most_rows: int = _MOST_ROWS,
) -> WindowSample:
    """Score stretches from all over the histories, about `most_rows` rows together at most."""
    each = most_rows // len(histories)
    means = [np.empty((0, len(detector.columns)))]
    clusters = [np.empty(0, dtype=np.int64)]
    for history in histories:
        for stretch in _stretches(len(history.timestamps_ms), each, detector.window_rows):
            values = take(sensors, history.values[stretch], detector.sensors)
            scores, _ = detector.score(
                Window.empty(detector.sensors),
                history.timestamps_ms[stretch],
                values,
                machine_id=history.machine_id,
            )
            scored = scores.state == RowState.SCORED
            own = scores.means - scores.shifts[scores.shift_of]
            means.append(np.nan_to_num(own[scored]))
            clusters.append(scores.cluster[scored])
    return WindowSample(
        detector.columns, np.concatenate(means), np.concatenate(clusters), detector.clusters
    )


def _stretches(rows: int, most: int, window_rows: int) -> list[slice]:
    """Evenly spread stretches of at least two windows, or everything when there is little."""
    length = max(most // _STRETCHES, 2 * window_rows)
    if rows <= most or rows <= length:
        return [slice(0, rows)]
    count = min(_STRETCHES, max(1, most // length), rows // length)
    return [
        slice(start, start + length)
        for start in np.linspace(0, rows - length, count).astype(np.int64).tolist()
    ]


def discrimination(sample: WindowSample) -> dict[str, float]:
    """How well each column tells the clusters apart, best first.

    The variance between the clusters' means over the mean variance within them, each cluster
    weighted by its windows: the F statistic of a one-way analysis of variance but for its degrees
    of freedom. 0 is not at all; above 1 the clusters are further apart than they are wide.
    """
    weights = np.bincount(sample.cluster, minlength=len(sample.centres)).astype(np.float64)
    seen = np.flatnonzero(weights)
    if len(seen) < 2:
        return dict.fromkeys(sample.columns, 0.0)
    weights = weights[seen] / weights.sum()
    own = [sample.means[sample.cluster == index] for index in seen.tolist()]
    means = np.array([windows.mean(axis=0) for windows in own])
    within = weights @ np.array([windows.var(axis=0) for windows in own])
    between = weights @ (means - weights @ means) ** 2
    ratio = between / np.maximum(within, np.finfo(np.float64).tiny)
    order = np.argsort(-ratio, kind="stable")
    return {sample.columns[index]: float(ratio[index]) for index in order.tolist()}
