"""Compares a sample of readings with a version's reference. Pure; knows no time but the readings'.

How sure one may be depends on how many independent readings there are, not on how many rows: those
of one machine follow from one another. So they are counted in the reference's correlation times:
the sample's own are no measure, for a sensor that has just shifted looks like one that is slow.
Machines, which share the weather and the load, do not add up: the one seen longest counts.

Imports SciPy: 30 MB and a second, so not before it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from faultline.detector.reference import Reference
from faultline.drift import DriftKind, Finding
from faultline.drift_measures import holm, js_distance, js_p_value, ks_p_value, ks_statistic
from services.predictor.drift_onset import DriftLimits
from services.predictor.drift_sample import Rows

LEAST_INDEPENDENT = 8.0
"""Fewer independent readings than this tell nothing."""
_LEAST_ROWS = 30
_LEAST_CLUSTER_ROWS = 5
_MACHINES = 8
_BINS = 10


def look(
    sensors: tuple[str, ...],
    slow: NDArray[np.bool_],
    reference: Reference,
    rows: Rows,
    limits: DriftLimits,
) -> tuple[Finding, ...]:
    """Compare every sensor, the mix of clusters and the scores with the reference.

    Parameters
    ----------
    slow
        Shape (d,): sensors that are known to drift, which are not compared.

    Returns
    -------
    tuple of Finding
        All comparisons that could be made, with corrected p-values; those for which there are too
        few independent readings have the p-value 1.
    """
    if len(rows.cluster) < _LEAST_ROWS:
        return ()
    sizes = _Independent(reference, rows)
    compared = [(column, name) for column, name in enumerate(sensors) if not slow[column]]
    found = [
        *_sensors(compared, reference, rows, sizes, limits),
        *_clusters(reference, rows, sizes, limits),
        *_scores(reference, rows, sizes, limits),
    ]
    corrected = holm(np.array([one.p_value for one in found]))
    return tuple(
        structs.replace(one, p_value=p_value)
        for one, p_value in zip(found, corrected.tolist(), strict=True)
    )


def _sensors(
    compared: Sequence[tuple[int, str]],
    reference: Reference,
    rows: Rows,
    sizes: _Independent,
    limits: DriftLimits,
) -> list[Finding]:
    """Each sensor's values, within the clusters.

    The reference's rows are weighted so that the clusters have the shares that they have in the
    sample. What changes with the regime alone is then drift of the mix, and not of every sensor.
    """
    k = len(reference.shares)
    in_reference = np.bincount(reference.cluster, minlength=k)
    in_sample = np.bincount(rows.cluster, minlength=k)
    shown = in_reference >= _LEAST_CLUSTER_ROWS
    per_row = np.where(shown, in_sample / np.maximum(in_reference, 1), 0.0)
    weights = per_row[reference.cluster]
    comparable = shown[rows.cluster]
    found = []
    for column, name in compared:
        values = rows.values[:, column]
        after = values[comparable & ~np.isnan(values)]
        taken = ~np.isnan(reference.values[:, column]) & (weights > 0)
        before = reference.values[taken, column]
        if min(len(before), len(after)) < _LEAST_ROWS:
            continue
        weight = weights[taken] / weights[taken].sum()
        n, m = sizes.of(values, float(reference.sensor_ms[column]))
        # So many rows of equal weight would be worth as much: Kish, 1965, "Survey Sampling".
        n = min(n, 1.0 / float(np.square(weight).sum()))
        statistic = ks_statistic(before, weight, after)
        found.append(
            Finding(
                kind=DriftKind.SENSOR,
                name=name,
                statistic=statistic,
                threshold=limits.distance,
                p_value=ks_p_value(statistic, n, m) if _enough(n, m) else 1.0,
                before=_spread(before, weight),
                after=_spread(after, _even(after)),
            )
        )
    return found


def _clusters(
    reference: Reference, rows: Rows, sizes: _Independent, limits: DriftLimits
) -> list[Finding]:
    """The shares of the clusters, where there are several."""
    before = reference.shares
    if len(before) < 2:
        return []
    after = np.bincount(rows.cluster, minlength=len(before)) / len(rows.cluster)
    n, m = sizes.of(rows.cluster, float(reference.cluster_ms[0]))
    return [
        Finding(
            kind=DriftKind.CLUSTERS,
            name="mix",
            statistic=js_distance(before, after),
            threshold=limits.distance,
            p_value=js_p_value(before, n, after, m) if _enough(n, m) else 1.0,
            before=_mix(before),
            after=_mix(after),
        )
    ]


def _scores(
    reference: Reference, rows: Rows, sizes: _Independent, limits: DriftLimits
) -> list[Finding]:
    """The scores: how they are distributed over the reference's tenths, and their median."""
    before, after = reference.scores, rows.score
    n, m = sizes.of(after, float(reference.score_ms[0]))
    n = min(n, float(len(before)))
    edges = np.quantile(before, np.arange(1, _BINS) / _BINS)
    then, now = (
        np.bincount(np.searchsorted(edges, scores), minlength=_BINS) / len(scores)
        for scores in (before, after)
    )
    middle, middle_now = float(np.median(before)), float(np.median(after))
    distribution = Finding(
        kind=DriftKind.SCORE,
        name="distribution",
        statistic=js_distance(then, now),
        threshold=limits.distance,
        p_value=js_p_value(then, n, now, m) if _enough(n, m) else 1.0,
        before=f"median {middle:.3g}",
        after=f"median {middle_now:.3g}",
    )
    statistic = ks_statistic(before, _even(before), after)
    level = structs.replace(
        distribution,
        name="level",
        statistic=abs(middle_now - middle),
        threshold=limits.level,
        p_value=ks_p_value(statistic, n, m) if _enough(n, m) else 1.0,
    )
    return [distribution, level]


class _Series(NamedTuple):
    """Where a machine's rows are, and the usual time between two of them."""

    rows: slice
    step_ms: float


class _Independent:
    """How many independent readings there are on either side."""

    def __init__(self, reference: Reference, rows: Rows) -> None:
        self._span_ms = float(reference.span_ms[0])
        edges = np.flatnonzero(np.diff(rows.machine)) + 1
        own = [
            slice(start, end) for start, end in pairwise((0, *edges.tolist(), len(rows.machine)))
        ]
        longest = sorted(own, key=lambda part: part.start - part.stop)[:_MACHINES]
        self._machines = [
            _Series(part, float(np.median(np.diff(rows.timestamps_ms[part]))))
            for part in longest
            if part.stop - part.start > 2
        ]

    def of(
        self, series: NDArray[np.float64] | NDArray[np.int64], correlation_ms: float
    ) -> tuple[float, float]:
        """In the reference, and in the sample of this series, shape (n,)."""
        most = 0.0
        for machine in self._machines:
            present = int(np.count_nonzero(~np.isnan(series[machine.rows])))
            most = max(most, present * min(1.0, machine.step_ms / correlation_ms))
        return self._span_ms / correlation_ms, most


def _enough(n: float, m: float) -> bool:
    return min(n, m) >= LEAST_INDEPENDENT


def _even(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(len(values), 1.0 / len(values))


def _spread(values: NDArray[np.float64], weights: NDArray[np.float64]) -> str:
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(weights[order]), (0.05, 0.5, 0.95))
    low, middle, high = values[order][np.minimum(at, len(values) - 1)].tolist()
    return f"median {middle:.4g}, mostly {low:.4g} to {high:.4g}"


def _mix(shares: NDArray[np.float64]) -> str:
    return ", ".join(
        f"{100 * share:.0f} % in {cluster}" for cluster, share in enumerate(shares.tolist())
    )
