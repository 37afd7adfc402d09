"""Compares what was counted of readings with a version's reference. Pure; knows no time.

How sure one may be depends on how many independent readings there are, not on how many rows: those
of one machine follow from one another. So they are counted in the reference's correlation times:
the sample's own are no measure, for a sensor that has just shifted looks like one that is slow.
Machines, which share the weather and the load, do not add up: the one seen longest counts.

Imports SciPy: 30 MB and a second, so not before it is needed.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from faultline.detector.reference import Reference
from faultline.drift import DriftKind, Finding
from faultline.drift_measures import holm, js_distance, js_p_value, ks_p_value, ks_statistic
from services.predictor.drift_counts import (
    SPREAD,
    TENTHS,
    Counts,
    places,
    score_points,
    shown_clusters,
)
from services.predictor.drift_onset import DriftLimits

LEAST_INDEPENDENT = 8.0
"""Fewer independent readings than this tell nothing."""
_LEAST_ROWS = 30


def look(
    sensors: tuple[str, ...],
    slow: NDArray[np.bool_],
    reference: Reference,
    counts: Counts,
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
    if counts.readings < _LEAST_ROWS:
        return ()
    found = [
        *(
            one
            for column, name in enumerate(sensors)
            if not slow[column]
            and (one := _sensor(column, name, reference, counts, limits)) is not None
        ),
        *_clusters(reference, counts, limits),
        *_scores(reference, counts, limits),
    ]
    corrected = holm(np.array([one.p_value for one in found]))
    return tuple(
        structs.replace(one, p_value=p_value)
        for one, p_value in zip(found, corrected.tolist(), strict=True)
    )


def _sensor(
    column: int, name: str, reference: Reference, counts: Counts, limits: DriftLimits
) -> Finding | None:
    """A sensor's values, within the clusters; None where there are too few.

    The reference's rows are weighted so that the clusters have the shares that they have in the
    sample. What changes with the regime alone is then drift of the mix, and not of every sensor.
    """
    in_reference = np.bincount(reference.cluster, minlength=len(reference.shares))
    shown = shown_clusters(reference)
    per_row = np.where(shown, counts.clusters / np.maximum(in_reference, 1), 0.0)
    values, weights = reference.values[:, column], per_row[reference.cluster]
    taken = ~np.isnan(values) & (weights > 0)
    before, after = values[taken], counts.sensors[column]
    if min(len(before), int(after.sum())) < _LEAST_ROWS:
        return None
    weight = weights[taken] / weights[taken].sum()
    n, m = _independent(reference, counts, column, float(reference.sensor_ms[column]))
    # So many rows of equal weight would be worth as much: Kish, 1965, "Survey Sampling".
    n = min(n, 1.0 / float(np.square(weight).sum()))
    # At each place, which is at one of the reference's values or between two of them: nowhere else
    # do the two differ more.
    at = places(np.sort(values), before)
    statistic = ks_statistic(np.bincount(at, weights=weight, minlength=len(after)), after)
    return Finding(
        kind=DriftKind.SENSOR,
        name=name,
        statistic=statistic,
        threshold=limits.distance,
        p_value=ks_p_value(statistic, n, m) if _enough(n, m) else 1.0,
        before=_told(*_quantiles(before, weight)),
        after=_told(*counts.spreads[column].tolist()),
    )


def _clusters(reference: Reference, counts: Counts, limits: DriftLimits) -> list[Finding]:
    """The shares of the clusters, where there are several."""
    before = reference.shares
    if len(before) < 2:
        return []
    after = counts.clusters / counts.readings
    n, m = _independent(reference, counts, -2, float(reference.cluster_ms[0]))
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


def _scores(reference: Reference, counts: Counts, limits: DriftLimits) -> list[Finding]:
    """The scores: how they are distributed over the reference's tenths, and their median."""
    before, after = reference.scores, counts.scores
    n, m = _independent(reference, counts, -1, float(reference.score_ms[0]))
    n = min(n, float(len(before)))
    points = score_points(reference)
    then = np.bincount(places(points, before), minlength=len(after))
    ends = places(points, np.quantile(before, TENTHS))
    tenths, tenths_now = (
        np.diff(np.cumsum(counted)[ends], prepend=0, append=counted.sum()) / counted.sum()
        for counted in (then, after)
    )
    middle, middle_now = float(np.median(before)), float(counts.middle[0])
    distribution = Finding(
        kind=DriftKind.SCORE,
        name="distribution",
        statistic=js_distance(tenths, tenths_now),
        threshold=limits.distance,
        p_value=js_p_value(tenths, n, tenths_now, m) if _enough(n, m) else 1.0,
        before=f"median {middle:.3g}",
        after=f"median {middle_now:.3g}",
    )
    statistic = ks_statistic(then, after)
    level = structs.replace(
        distribution,
        name="level",
        statistic=abs(middle_now - middle),
        threshold=limits.level,
        p_value=ks_p_value(statistic, n, m) if _enough(n, m) else 1.0,
    )
    return [distribution, level]


def _independent(
    reference: Reference, counts: Counts, series: int, correlation_ms: float
) -> tuple[float, float]:
    """How many independent readings there are: in the reference, and in the sample of a series."""
    return float(reference.span_ms[0]) / correlation_ms, float(counts.independent[series])


def _enough(n: float, m: float) -> bool:
    return min(n, m) >= LEAST_INDEPENDENT


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(weights[order]), SPREAD)
    found: list[float] = values[order][np.minimum(at, len(values) - 1)].tolist()
    return found


def _told(low: float, middle: float, high: float) -> str:
    return f"median {middle:.4g}, mostly {low:.4g} to {high:.4g}"


def _mix(shares: NDArray[np.float64]) -> str:
    return ", ".join(
        f"{100 * share:.0f} % in {cluster}" for cluster, share in enumerate(shares.tolist())
    )
