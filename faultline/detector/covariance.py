"""Distance through the covariance of what is ordinary within a cluster. NumPy only.

Knows no boundary and no time, nor how the covariance was estimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from faultline.detector.distance import (
    has_missing,
    nearest_cluster,
    nearest_complete,
    rows_at_once,
)
from faultline.detector.inverses import Inverses

_BLOCK_ROWS = 64
"""Products are taken in blocks of so many rows, filled up with zeros: a matrix product of another
shape may add in another order, and a score must have the same bits however a stream is cut."""


@dataclass(frozen=True, eq=False)
class Metric:
    """Mahalanobis distance with one covariance for all clusters, or the Euclidean one.

    Mahalanobis, 1936, "On the generalised distance in statistics", Proc. Natl. Inst. Sci. India 2.

    Attributes
    ----------
    covariance
        Shape (d, d), symmetric and positive definite, in scales; None for Euclidean distance.

    Raises
    ------
    ValueError
        When the covariance is not positive definite.

    Examples
    --------
    Two sensors that move together: a row off the line is far, one along it near.

    >>> metric = Metric(np.array([[1.0, 0.9], [0.9, 1.0]]))
    >>> rows = np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> metric.nearest(rows, None, np.zeros((1, 2)))[0].round(2)
    array([1.03, 4.47])
    """

    covariance: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        if self.covariance is not None:
            try:
                _ = self._inverses
            except np.linalg.LinAlgError:
                raise ValueError("the covariance is not positive definite") from None

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of each sensor on its own, in scales: shape (d,), or () for 1."""
        return np.ones(()) if self.covariance is None else np.sqrt(np.diag(self.covariance))

    def widened_by(self, variance: NDArray[np.float64]) -> Metric:
        """Return the metric with more variance, shape (d,), in each sensor on its own."""
        if not variance.any():
            return self
        covariance = np.eye(len(variance)) if self.covariance is None else self.covariance
        return Metric(covariance + np.diag(variance))

    def nearest(
        self,
        rows: NDArray[np.float64],
        widened: NDArray[np.float64] | None,
        clusters: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distance to the nearest cluster, over the sensors that are present.

        As `nearest_cluster`, also in that the distance over p of d sensors is multiplied by
        sqrt(d / p): the covariance of the sensors that are present is inverted on its own.

        Parameters
        ----------
        rows
            Shape (n, d), scaled; NaN is missing. At least one is present in every row.
        widened
            Shape (n, d): divides the deviation of each sensor; None for 1 everywhere.
        clusters
            Shape (k, d), scaled.

        Returns
        -------
        distance
            Shape (n,).
        cluster
            Shape (n,): index of the nearest one, the lowest where two are equally near.
        """
        if self.covariance is None:
            return nearest_cluster(rows, widened, clusters)
        if widened is None and not has_missing(rows):
            return self._nearest_complete(rows, clusters)
        n, d = rows.shape
        missing = np.isnan(rows)
        complete = ~missing.any(axis=1)
        if widened is not None:
            complete &= (widened == 1.0).all(axis=1)
        distance, nearest = np.empty(n), np.empty(n, dtype=np.int64)
        if complete.any():
            distance[complete], nearest[complete] = self._nearest_complete(rows[complete], clusters)
        others = np.flatnonzero(~complete)
        for own, present in _patterns(~missing[others]):
            cells = np.ix_(others[own], present)
            root = self._inverses.of(present).root
            squares = np.empty((len(own), len(clusters)))
            for index, centre in enumerate(clusters[:, present]):
                deviation = rows[cells] - centre
                if widened is not None:
                    deviation /= widened[cells]
                squares[:, index] = np.square(_product(deviation, root)).sum(axis=1)
            nearest[others[own]] = squares.argmin(axis=1)
            distance[others[own]] = np.sqrt(squares.min(axis=1) * (d / present.sum()))
        return distance, nearest

    def parts(
        self, deviation: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Take a deviation apart by sensor.

        The part of a sensor is by how much the squared distance falls when its value is replaced
        by the one that fits the others best. With a fault in one sensor alone, that one has the
        largest part (Alcala and Qin, 2009, "Reconstruction-based contribution for process
        monitoring", Automatica 45). For Euclidean distance it is the squared deviation.

        Parameters
        ----------
        deviation
            Shape (m, d), from the cluster, scaled; NaN is missing.

        Returns
        -------
        squares
            Shape (m, d): the parts, at least 0; 0 where missing.
        unexplained
            Shape (m, d): the deviation from the value that fits the others best, in scales.
        tolerance
            Standard deviation of that in ordinary rows; of a shape that fits to (m, d).

        Examples
        --------
        >>> metric = Metric(np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.9], [0.9, 0.9, 1.0]]))
        >>> squares, unexplained, _ = metric.parts(np.array([[0.0, 1.0, 0.0]]))
        >>> (squares / squares.sum()).round(2), unexplained.round(2)
        (array([[0.15, 0.69, 0.15]]), array([[-0.47,  1.  , -0.47]]))
        """
        missing = np.isnan(deviation) if has_missing(deviation) else None
        if self.covariance is None:
            filled = deviation if missing is None else np.where(missing, 0.0, deviation)
            return np.square(filled), filled, self.spread
        if missing is None:
            return _parts(deviation, self._inverses.whole.precision)
        squares, unexplained = np.zeros(deviation.shape), np.zeros(deviation.shape)
        tolerance = np.ones(deviation.shape)
        for own, present in _patterns(~missing):
            cells = np.ix_(own, present)
            squares[cells], unexplained[cells], tolerance[cells] = _parts(
                deviation[cells], self._inverses.of(present).precision
            )
        return squares, unexplained, tolerance

    def _nearest_complete(
        self, rows: NDArray[np.float64], clusters: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distance to the nearest cluster where nothing is missing: Euclidean after a product."""
        n, d = rows.shape
        root = self._inverses.whole.root
        clusters = clusters @ root
        step = rows_at_once(d)
        if n <= step:
            return nearest_complete(_product(rows, root), clusters)
        distance, nearest = np.empty(n), np.empty(n, dtype=np.int64)
        for start in range(0, n, step):
            part = slice(start, start + step)
            distance[part], nearest[part] = nearest_complete(_product(rows[part], root), clusters)
        return distance, nearest

    @cached_property
    def _inverses(self) -> Inverses:
        assert self.covariance is not None
        return Inverses(self.covariance)


def _parts(
    deviation: NDArray[np.float64], precision: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """As `Metric.parts`, where nothing is missing."""
    diagonal = precision.diagonal()
    weighted = _product(deviation, precision)
    return np.square(weighted) / diagonal, weighted / diagonal, 1.0 / np.sqrt(diagonal)


def _product(rows: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    n, d = rows.shape
    filled = rows
    if n % _BLOCK_ROWS:
        filled = np.zeros((n + -n % _BLOCK_ROWS, d))
        filled[:n] = rows
    product: NDArray[np.float64] = filled.reshape(-1, _BLOCK_ROWS, d) @ matrix
    return product.reshape(-1, matrix.shape[1])[:n]


def _patterns(
    present: NDArray[np.bool_],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Rows with the same sensors present: their indices, and which sensors."""
    if present.all():
        yield np.arange(len(present)), np.ones(present.shape[1], dtype=np.bool_)
        return
    patterns, of_row = np.unique(present, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield np.flatnonzero(of_row.reshape(-1) == index), pattern
