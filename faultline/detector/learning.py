"""Learns scale, clusters, baselines and covariance from window means. Needs scikit-learn.

It knows neither blocks of time nor boundaries: training and calibration both learn by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.clusters import ClusterSettings, cluster
from faultline.detector.distance import nearest_cluster
from faultline.detector.location import biweight
from faultline.detector.scale import median

_REFINEMENTS = 2
_LEAST_VARIANCE = 1e-6
"""In squared scales. Sensors of which one is given by the others would leave no room at all."""

_OUTLYING = 5.0
"""A deviation counts for the covariance up to so many scales: a wild row must not make one."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What is normal, in spreads of single rows unless said otherwise.

    Attributes
    ----------
    centre, scale
        Shape (d,): of the window means, less their machine's offset.
    clusters
        Shape (k, d), in scales from the centre.
    offsets
        Shape (m, d): how far each machine is from the type; 0 where it has no baseline.
    covariance
        Shape (d, d): of the deviations from the nearest cluster, in scales; shrunk.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    clusters: NDArray[np.float64]
    offsets: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def from_zero(self, is_slow: NDArray[np.bool_]) -> Learnt:
        """Return the same with the centre of the sensors marked in `is_slow`, shape (d,), at 0.

        What is tracked is a deviation from a level already.
        """
        moved = np.where(is_slow, self.centre, 0.0)
        return replace(
            self, centre=self.centre - moved, clusters=self.clusters + moved / self.scale
        )

    def rows(self, means: NDArray[np.float64], machine: NDArray[np.int64]) -> NDArray[np.float64]:
        """Window means (n, d) of machines (n,) in scales from the centre."""
        local: NDArray[np.float64] = (means - self.offsets[machine] - self.centre) / self.scale
        return local


def learn(
    means: NDArray[np.float64],
    machine: NDArray[np.int64],
    own_baseline: NDArray[np.bool_],
    *,
    k: int,
    settings: ClusterSettings,
    widening: NDArray[np.float64],
) -> Learnt:
    """Learn from the windows of machines of one type.

    Machines of one type differ by constant offsets. They begin as the medians of the machines'
    windows, and are refined as the locations of the deviations from the nearest cluster. Machines
    that spend their time quite differently among the clusters are the weak spot of that.

    Parameters
    ----------
    means
        Shape (n, d), in spreads of single rows; NaN is missing.
    machine
        Shape (n,): whose window it is.
    own_baseline
        Shape (m,): which machines have one.
    k
        Number of clusters.
    settings
        For the clusters.
    widening
        Shape (d,): multiplies the scale of each sensor.
    """
    offsets = first_offsets(means, machine, own_baseline)
    found = cluster(means - offsets[machine], k, settings, widening)
    for _ in range(_REFINEMENTS if offsets.any() else 0):
        rows = (means - offsets[machine] - found.centre) / found.scale
        deviation = found.scale * (rows - found.clusters[_nearest(rows, found.clusters)])
        offsets = offsets + _places(deviation, machine, own_baseline, spread=found.scale / widening)
        found = cluster(means - offsets[machine], k, settings, widening)
    rows = (means - offsets[machine] - found.centre) / found.scale
    deviation = rows - found.clusters[_nearest(rows, found.clusters)]
    return Learnt(
        found.centre, found.scale, found.clusters, offsets, _covariance(deviation, widening)
    )


def first_offsets(
    means: NDArray[np.float64], machine: NDArray[np.int64], own_baseline: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Median of each machine's windows less the median of those medians, shape (m, d)."""
    offsets = _places(means, machine, own_baseline)
    if own_baseline.any():
        offsets[own_baseline] -= np.median(offsets[own_baseline], axis=0)
    return offsets


def between_machines(learnt: Learnt, own_baseline: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance of the machines' offsets, in squared scales, shape (d,): what a new one may add.

    Zero for a single machine, which tells nothing of another.
    """
    offsets = learnt.offsets[own_baseline] / learnt.scale
    if len(offsets) < 2:
        return np.zeros(len(learnt.scale))
    # The new machine's offset and the error of the centre, which was found from m machines.
    variance: NDArray[np.float64] = offsets.var(axis=0, ddof=1) * (1 + 1 / len(offsets))
    return variance


def _nearest(rows: NDArray[np.float64], clusters: NDArray[np.float64]) -> NDArray[np.int64]:
    return nearest_cluster(rows, None, clusters)[1]


def _places(
    values: NDArray[np.float64],
    machine: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    spread: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Where each wanted machine's values lie, shape (m, d); 0 for the others and where missing.

    By the median, as long as the `spread` of a machine's values, shape (d,), is not known.
    """
    places = np.zeros((len(wanted), values.shape[1]))
    for index in np.flatnonzero(wanted):
        own = values[machine == index]
        seen = np.isfinite(own).any(axis=0)
        if seen.any():
            own = own[:, seen]
            places[index, seen] = median(own) if spread is None else biweight(own, spread[seen])
    return places


def _covariance(
    deviation: NDArray[np.float64], widening: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pooled within-cluster covariance, shrunk as Ledoit and Wolf do.

    Ledoit and Wolf, 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", J. Multivar. Anal. 88. A slow sensor has the variance it was widened by as well, and
    so no correlation worth the name.
    """
    # In the scale of ordinary rows, where a unit means the same for every sensor.
    drawn_in = np.clip(np.nan_to_num(deviation * widening), -_OUTLYING, _OUTLYING)
    with threadpool_limits(limits=1):
        shrunk, _ = ledoit_wolf(drawn_in, assume_centered=True)
    covariance: NDArray[np.float64] = shrunk / np.outer(widening, widening)
    return covariance + np.diag(1 - 1 / np.square(widening) + _LEAST_VARIANCE)
