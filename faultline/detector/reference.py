"""What training looked like, for telling later whether the live readings still look so. NumPy only.

It knows rows and a detector; it must not know what counts as drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation
from faultline.detector.detector import Detector
from faultline.detector.history import MachineHistory
from faultline.detector.scores import RowState
from faultline.detector.window import Window

REFERENCE_ROWS = 512
"""So many rows and scores are kept; two samples of this size differ by a Kolmogorov-Smirnov
statistic of 0.1 at most by chance, and less than 0.2 is no drift worth a training."""

_SERIES_ROWS = 8_192
_CHUNK_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Reference:
    """A sample of the training rows that were normal, and how fast they change.

    Attributes
    ----------
    values
        Shape (r, d): rows in the sensors' own units, less what their machine is known to differ
        by; NaN where missing. Spread evenly over all machines and times.
    cluster
        Shape (r,), int64: nearest to each of them.
    shares
        Shape (k,): part of all normal training rows in each cluster.
    scores
        Shape (s,): evenly spaced quantiles of the scores; of held-out rows where there are some.
    sensor_ms
        Shape (d,): correlation time of each sensor, milliseconds; see `correlation_rows`.
    cluster_ms, score_ms
        Shape (1,): that of the clusters and of the score.
    span_ms
        Shape (1,): how long the longest history of a machine is.
    """

    values: NDArray[np.float64]
    cluster: NDArray[np.int64]
    shares: NDArray[np.float64]
    scores: NDArray[np.float64]
    sensor_ms: NDArray[np.float64]
    cluster_ms: NDArray[np.float64]
    score_ms: NDArray[np.float64]
    span_ms: NDArray[np.float64]

    @classmethod
    def from_arrays(cls, detector: Detector, arrays: Mapping[str, NDArray[Any]]) -> Reference:
        """Take it from stored arrays, the attributes by name.

        Raises
        ------
        ValueError
            When they are not that, or not of this detector.
        """
        d, k = len(detector.sensors), len(detector.clusters)
        rows, scores = (len(arrays[name]) if name in arrays else 0 for name in ("values", "scores"))
        expected = {
            "values": (np.float64, (rows, d)),
            "cluster": (np.int64, (rows,)),
            "shares": (np.float64, (k,)),
            "scores": (np.float64, (scores,)),
            "sensor_ms": (np.float64, (d,)),
            "cluster_ms": (np.float64, (1,)),
            "score_ms": (np.float64, (1,)),
            "span_ms": (np.float64, (1,)),
        }
        if set(arrays) != set(expected):
            raise ValueError(f"holds {sorted(arrays)}; must be {sorted(expected)}")
        for name, (dtype, shape) in expected.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(
                    f"{name} is {array.dtype} of the shape {array.shape}; must be "
                    f"{np.dtype(dtype)} of {shape}"
                )
            finite = array[~np.isnan(array)] if name == "values" else array
            if not np.isfinite(finite).all():
                raise ValueError(f"{name} must be finite")
        reference = cls(**arrays)
        times = (reference.sensor_ms, reference.cluster_ms, reference.score_ms, reference.span_ms)
        if not rows or not scores or any((array <= 0).any() for array in times):
            raise ValueError("has no rows, no scores, or times that are not positive")
        if reference.cluster.min() < 0 or reference.cluster.max() >= k:
            raise ValueError(f"cluster must be 0 to {k - 1}")
        if reference.shares.min() < 0 or abs(reference.shares.sum() - 1.0) > 1e-9:
            raise ValueError("shares must be parts of 1")
        return reference


class _Normal(NamedTuple):
    """The normal rows of one machine."""

    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    cluster: NDArray[np.int64]
    score: NDArray[np.float64]


def make_reference(
    detector: Detector,
    sensors: Sequence[str],
    histories: Sequence[MachineHistory],
    held_out: Sequence[NDArray[np.float64]] = (),
) -> Reference:
    """Take a reference from what a detector was trained on.

    Rows within the boundary only: those that fail are left out of what is compared with it, too.

    Parameters
    ----------
    sensors
        Names of the histories' columns, the detector's among them.
    held_out
        Scores of rows by what the others taught, NaN where there is none; without them the rows'
        own scores are taken.

    Raises
    ------
    ValueError
        When no row is within the boundary.
    """
    offsets = machine_offsets(detector)
    columns = [list(sensors).index(name) for name in detector.sensors]
    machines = [_normal(detector, history, columns, offsets) for history in histories]
    machines = [machine for machine in machines if len(machine.cluster)]
    if not machines:
        raise ValueError("no row of the histories is within the boundary")
    values = np.concatenate([machine.values for machine in machines])
    cluster = np.concatenate([machine.cluster for machine in machines])
    score = np.concatenate([machine.score for machine in machines])
    within = [scores[scores <= 1.0] for scores in held_out]
    if sum(map(len, within)):
        score = np.concatenate(within)
    taken = np.unique(np.linspace(0, len(values) - 1, REFERENCE_ROWS).astype(np.int64))
    steps = [_Thinned.of(machine) for machine in machines]
    quantiles = (np.arange(REFERENCE_ROWS) + 0.5) / REFERENCE_ROWS
    shares = np.bincount(cluster, minlength=len(detector.clusters)) / len(cluster)
    return Reference(
        values=np.ascontiguousarray(values[taken]),
        cluster=cluster[taken],
        shares=shares,
        scores=np.quantile(score, quantiles),
        sensor_ms=np.mean([one.sensor_ms() for one in steps], axis=0),
        cluster_ms=np.mean([[one.milliseconds(one.rows.cluster)] for one in steps], axis=0),
        score_ms=np.mean([[one.milliseconds(one.rows.score)] for one in steps], axis=0),
        span_ms=np.array([max(one.step_ms * len(one.rows.cluster) for one in steps)]),
    )


def machine_offsets(detector: Detector) -> dict[str, NDArray[np.float64]]:
    """By what each machine with a baseline differs from its type, in the sensors' own units."""
    d = len(detector.sensors)
    units = detector.spread if detector.origin.size else np.ones(d)
    offsets = detector.baselines * detector.scale if detector.machines else np.zeros((0, d))
    by_sensor = offsets.reshape(len(detector.machines), d, -1 if detector.machines else 1)
    return dict(zip(detector.machines, by_sensor.mean(axis=2) * units, strict=True))


def slow_sensors(detector: Detector) -> NDArray[np.bool_]:
    """Which sensors are known to drift, shape (d,): they are judged by how they jump."""
    d = len(detector.sensors)
    if not detector.speed.size:
        return np.zeros(d, dtype=np.bool_)
    return np.asarray((detector.speed > 0).reshape(d, detector.segments).any(axis=1))


def correlation_rows(series: NDArray[Any]) -> float:
    """How many rows of a series say as much as one independent row.

    The integrated autocorrelation time 1 + 2 sum rho(t), of ranks, summed up to the first that is
    not positive: n rows are worth n over it. Bayley and Hammersley, 1946, "The 'effective' number
    of independent observations in an autocorrelated time series", J. R. Stat. Soc. Suppl. 8; where
    to end the sum after Geyer, 1992, "Practical Markov chain Monte Carlo", Statistical Science 7.

    Parameters
    ----------
    series
        Shape (n,): in time order; NaN is left out.

    Returns
    -------
    float
        1 to n; 1 for a constant series.

    Examples
    --------
    >>> correlation_rows(np.repeat(np.random.default_rng(1).normal(size=500), 10)).__round__(-1)
    10.0
    """
    present = series[~np.isnan(series)] if series.dtype.kind == "f" else series
    n = len(present)
    if n < 3:
        return 1.0
    # Values that are equal share a rank: what is measured in coarse steps is not made noisy.
    ranks = np.unique(present, return_inverse=True)[1].astype(np.float64)
    ranks -= ranks.mean()
    if not ranks.any():
        return 1.0
    # Padded to twice the length, the product of the transforms does not wrap around.
    power = np.abs(np.fft.rfft(ranks, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n]
    correlation /= correlation[0]
    negative = np.flatnonzero(correlation <= 0)
    end = int(negative[0]) if negative.size else n
    return float(min(n, max(1.0, 2.0 * correlation[:end].sum() - 1.0)))


def _normal(
    detector: Detector,
    history: MachineHistory,
    columns: Sequence[int],
    offsets: Mapping[str, NDArray[np.float64]],
) -> _Normal:
    """Take the rows of a machine within the boundary: none without the baseline it needs."""
    values = history.values[:, columns]
    rows, clusters, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    if not offsets or history.machine_id in offsets:
        for own_rows, own_clusters, own_scores in _scored(detector, history, values):
            rows.append(own_rows)
            clusters.append(own_clusters)
            scores.append(own_scores)
    taken = np.concatenate(rows)
    return _Normal(
        history.timestamps_ms[taken],
        values[taken] - offsets.get(history.machine_id, np.zeros(len(columns))),
        np.concatenate(clusters),
        np.concatenate(scores),
    )


def _scored(
    detector: Detector, history: MachineHistory, values: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Rows, clusters and scores within the boundary, some at a time."""
    window = Window.empty(detector.sensors)
    adaptation: Adaptation | None = None
    for start in range(0, len(history.timestamps_ms), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        scores, window = detector.score(
            window,
            history.timestamps_ms[chunk],
            values[chunk],
            machine_id=history.machine_id,
            adaptation=adaptation,
        )
        adaptation = scores.adaptation
        rows = np.flatnonzero((scores.state == RowState.SCORED) & ~(scores.score > 1.0))
        yield start + rows, scores.cluster[rows], scores.score[rows]


class _Thinned(NamedTuple):
    """Rows at an even stride, few enough for a transform of each sensor."""

    rows: _Normal
    step_ms: float

    @classmethod
    def of(cls, machine: _Normal) -> _Thinned:
        stride = -(-len(machine.cluster) // _SERIES_ROWS)
        rows = _Normal(
            machine.timestamps_ms[::stride],
            machine.values[::stride],
            machine.cluster[::stride],
            machine.score[::stride],
        )
        steps = np.diff(rows.timestamps_ms)
        return cls(rows, float(np.median(steps)) if len(steps) else 1.0)

    def milliseconds(self, series: NDArray[Any]) -> float:
        return self.step_ms * correlation_rows(series)

    def sensor_ms(self) -> list[float]:
        return [self.milliseconds(column) for column in self.rows.values.T]
