"""Counts a sample of readings for drift, so that the counts of several replicas add up. Pure.

Values are counted between and at the reference's own: the distribution functions that are compared
differ most at one of these, so nothing is lost by it. Medians and spreads of several replicas are
read from the summed counts; beyond all that the reference has, the replicas' own are averaged.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from faultline.detector.reference import Reference
from services.predictor.drift_sample import Rows

SPREAD = (0.05, 0.5, 0.95)
TENTHS = np.arange(1, 10) / 10
_LEAST_CLUSTER_ROWS = 5
_MACHINES = 8


class Counts(NamedTuple):
    """What a look needs of a sample, beside the reference of k clusters, d sensors and r rows.

    Attributes
    ----------
    clusters
        Shape (k,): readings per cluster.
    sensors
        Shape (d, 2r + 1): values of the clusters that the reference shows, by `places`.
    scores
        Shape (2s + 1,): scores by their places among the s `score_points`.
    independent
        Shape (d + 2,): how many independent readings there are of each sensor, of the clusters and
        of the scores.
    spreads
        Shape (d, 3): quantiles of each sensor, NaN without any value.
    middle
        Shape (1,): the median score.
    """

    clusters: NDArray[np.int64]
    sensors: NDArray[np.int64]
    scores: NDArray[np.int64]
    independent: NDArray[np.float64]
    spreads: NDArray[np.float64]
    middle: NDArray[np.float64]

    @property
    def readings(self) -> int:
        """How many were counted."""
        return int(self.clusters.sum())


def shown_clusters(reference: Reference) -> NDArray[np.bool_]:
    """Which clusters the reference has enough rows of to compare values within, shape (k,)."""
    k = len(reference.shares)
    return np.bincount(reference.cluster, minlength=k) >= _LEAST_CLUSTER_ROWS


def score_points(reference: Reference) -> NDArray[np.float64]:
    """The reference's scores and their tenths, in order."""
    return np.sort(np.concatenate((reference.scores, np.quantile(reference.scores, TENTHS))))


def places(points: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where values stand among points in order, which grows with the value: at one or between two.

    Examples
    --------
    >>> places(np.array([1.0, 2.0]), np.array([0.5, 1.0, 1.5, 2.0, 9.0]))
    array([0, 1, 2, 3, 4])
    """
    return np.searchsorted(points, values, "left") + np.searchsorted(points, values, "right")


def counted(reference: Reference, rows: Rows) -> Counts:
    """Count a sample."""
    d = reference.values.shape[1]
    comparable = shown_clusters(reference)[rows.cluster]
    sensors, spreads = [], np.full((d, len(SPREAD)), np.nan)
    for column in range(d):
        values = rows.values[comparable, column]
        values = np.sort(values[~np.isnan(values)])
        sensors.append(_counts(np.sort(reference.values[:, column]), values))
        if len(values):
            spreads[column] = values[np.ceil(np.array(SPREAD) * len(values)).astype(np.int64) - 1]
    median = np.median(rows.score) if len(rows.score) else np.nan
    return Counts(
        clusters=np.bincount(rows.cluster, minlength=len(reference.shares)),
        sensors=np.array(sensors),
        scores=_counts(score_points(reference), np.sort(rows.score)),
        independent=_independent(reference, rows),
        spreads=spreads,
        middle=np.array([median]),
    )


def _counts(points: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values, in order as the points are, stand at each place."""
    at = np.unique(points[~np.isnan(points)])
    first, last = np.searchsorted(points, at, "left"), np.searchsorted(points, at, "right")
    below, upto = np.searchsorted(values, at, "left"), np.searchsorted(values, at, "right")
    counts = np.zeros(2 * len(points) + 1, dtype=np.int64)
    counts[first + last] = upto - below
    counts[2 * last] = np.append(below[1:], len(values)) - upto
    counts[0] = below[0] if len(at) else len(values)
    return counts


class _Series(NamedTuple):
    """Where a machine's rows are, and the usual time between two of them."""

    rows: slice
    step_ms: float


def _independent(reference: Reference, rows: Rows) -> NDArray[np.float64]:
    """How many independent readings there are: of the machine with the most."""
    edges = np.flatnonzero(np.diff(rows.machine)) + 1
    own = [slice(start, end) for start, end in pairwise((0, *edges.tolist(), len(rows.machine)))]
    longest = sorted(own, key=lambda part: part.start - part.stop)[:_MACHINES]
    machines = [
        _Series(part, float(np.median(np.diff(rows.timestamps_ms[part]))))
        for part in longest
        if part.stop - part.start > 2
    ]
    correlation_ms = np.concatenate((reference.sensor_ms, reference.cluster_ms, reference.score_ms))
    most = np.zeros(len(correlation_ms))
    for machine in machines:
        count = machine.rows.stop - machine.rows.start
        present = np.count_nonzero(~np.isnan(rows.values[machine.rows]), axis=0)
        each = np.concatenate((present, (count, count)))
        most = np.maximum(most, each * np.minimum(1.0, machine.step_ms / correlation_ms))
    return most


def added(parts: Sequence[Counts], reference: Reference) -> Counts:
    """Add up the counts of several replicas.

    Machines share weather and load, so their independent readings do not add up: the most count.
    """
    if len(parts) == 1:
        return parts[0]
    sensors = np.sum([part.sensors for part in parts], axis=0)
    scores = np.sum([part.scores for part in parts], axis=0)
    weights = np.array([part.sensors.sum(axis=1) for part in parts])[:, :, np.newaxis]
    readings = np.array([part.readings for part in parts])[:, np.newaxis]
    spreads = _mean(np.array([part.spreads for part in parts]), weights)
    middle = _mean(np.array([part.middle for part in parts]), readings)
    return Counts(
        clusters=np.sum([part.clusters for part in parts], axis=0),
        sensors=sensors,
        scores=scores,
        independent=np.max([part.independent for part in parts], axis=0),
        spreads=np.array(
            [
                _quantiles(np.sort(points), counts, SPREAD, beyond)
                for points, counts, beyond in zip(reference.values.T, sensors, spreads, strict=True)
            ]
        ),
        middle=_quantiles(score_points(reference), scores, (0.5,), middle),
    )


def _quantiles(
    points: NDArray[np.float64],
    counts: NDArray[np.int64],
    quantiles: Sequence[float],
    beyond: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Quantiles of values that were counted among points; `beyond` where they are outside."""
    last = int(np.count_nonzero(~np.isnan(points))) - 1
    at = np.searchsorted(np.cumsum(counts), np.array(quantiles) * counts.sum())
    within = np.clip((at - 1) // 2, 0, max(last, 0)), np.clip(at // 2, 0, max(last, 0))
    middle = (points[within[0]] + points[within[1]]) / 2
    return np.where((at > 0) & (at <= 2 * last + 1), middle, beyond)


def _mean(values: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    total = weights.sum(axis=0)
    mean: NDArray[np.float64] = (np.nan_to_num(values) * weights).sum(axis=0) / np.maximum(total, 1)
    return np.where(total > 0, mean, np.nan)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, bytes, bytes, bytes])
_COUNT, _NUMBER = np.dtype("<u4"), np.dtype("<f8")


def packed(counts: Counts) -> bytes:
    """Pack counts, mostly zeros, into a few kilobytes."""
    arrays = [
        array.astype(_COUNT if array.dtype.kind == "i" else _NUMBER).tobytes() for array in counts
    ]
    return zlib.compress(_encoder.encode(arrays), level=1)


def unpacked(data: bytes, reference: Reference) -> Counts:
    """Unpack counts beside the same reference.

    Raises
    ------
    ValueError
        When they are not of this reference's shape.
    """
    (r, d), k = reference.values.shape, len(reference.shares)
    shapes = ((k,), (d, 2 * r + 1), (2 * len(score_points(reference)) + 1,), (d + 2,), (d, 3), (1,))
    most = sum(8 * int(np.prod(shape)) for shape in shapes) + 1_024
    try:
        parts = _decoder.decode(zlib.decompressobj().decompress(data, most))
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"counts cannot be read: {error}") from error
    clusters, sensors, scores = (
        np.frombuffer(part, _COUNT).reshape(shape).astype(np.int64)
        for part, shape in zip(parts[:3], shapes[:3], strict=True)
    )
    independent, spreads, middle = (
        np.frombuffer(part, _NUMBER).reshape(shape).astype(np.float64)
        for part, shape in zip(parts[3:], shapes[3:], strict=True)
    )
    return Counts(clusters, sensors, scores, independent, spreads, middle)
