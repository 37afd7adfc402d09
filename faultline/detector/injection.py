"""Makes faulty copies of healthy rows, to measure a detector where nobody labelled real faults.

It must not know how a fault is found, nor what a detector is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class FaultKind(StrEnum):
    """What happens to one sensor from the start of a fault to its end.

    The kinds are the usual ones of sensor fault studies, see Ni et al., "Sensor network data fault
    types", ACM Transactions on Sensor Networks 5(3), 2009.
    """

    SPIKE = "spike"
    """The first row alone is off by the fault's size."""
    STUCK = "stuck"
    """The sensor goes on sending its last value from before the fault."""
    OFFSET = "offset"
    """Every row is off by the fault's size."""
    DRIFT = "drift"
    """The rows go off evenly; the last is off by the fault's size."""
    NOISE = "noise"
    """Normal noise is added, with the fault's size as its standard deviation."""
    DROPOUT = "dropout"
    """The values are missing."""
    BROKEN_CORRELATION = "broken_correlation"
    """The values are the sensor's own from another time: its whole column, turned in a circle, has
    exactly the distribution it had, and only its relation to the other sensors is broken."""

    @property
    def has_strength(self) -> bool:
        """Whether a fault of this kind has a size. Being stuck, missing or apart has no degree."""
        return self in _WITH_STRENGTH


_WITH_STRENGTH = frozenset(
    {FaultKind.SPIKE, FaultKind.OFFSET, FaultKind.DRIFT, FaultKind.NOISE},
)


@dataclass(frozen=True)
class Fault:
    """One fault of one sensor.

    Attributes
    ----------
    kind
        What happens.
    column
        The sensor.
    start, stop
        The rows from `start` on, before `stop`.
    size
        In the sensor's own units, with its sign; None for the kinds that have no strength.
    seed
        Of what is drawn at random: the noise, and how far a column is turned.

    Raises
    ------
    ValueError
        When there is no row, or a size where the kind has none or none where it has one.
    """

    kind: FaultKind
    column: int
    start: int
    stop: int
    size: float | None
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a fault needs 0 <= start < stop; got {self.start} and {self.stop}")
        if self.kind.has_strength != (self.size is not None):
            raise ValueError(
                f"a fault of kind {self.kind} "
                + ("needs a size" if self.kind.has_strength else f"has no size; got {self.size!r}")
            )


def inject(values: NDArray[np.float64], fault: Fault, first: int = 0) -> NDArray[np.float64]:
    """Copy rows up to the end of a fault, with the fault in them.

    Missing values stay missing. A sensor without any value before the fault cannot be stuck at one
    and stays as it is.

    Parameters
    ----------
    values
        Shape (n, d), healthy rows; NaN is missing. Not changed.
    first
        The row that the copy begins with, at most the fault's start.

    Returns
    -------
    ndarray
        Shape (fault.stop - first, d).

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> inject(rows, Fault(FaultKind.OFFSET, 0, 2, 4, size=10.0, seed=0), first=1).ravel()
    array([ 2., 13., 14.])
    >>> inject(rows, Fault(FaultKind.STUCK, 0, 2, 5, size=None, seed=0)).ravel()
    array([1., 2., 2., 2., 2.])
    """
    copy = values[first : fault.stop].copy()
    copy[fault.start - first :, fault.column] = _faulty(values[:, fault.column], fault)
    return copy


def _faulty(column: NDArray[np.float64], fault: Fault) -> NDArray[np.float64]:
    """The values of the faulty rows, shape (stop - start,)."""
    healthy = column[fault.start : fault.stop]
    match fault.kind:
        case FaultKind.DROPOUT:
            return np.full(len(healthy), np.nan)
        case FaultKind.STUCK:
            before = column[: fault.start]
            present = np.flatnonzero(np.isfinite(before))
            if not present.size:
                return healthy
            return np.where(np.isfinite(healthy), before[present[-1]], np.nan)
        case FaultKind.BROKEN_CORRELATION:
            return _from_another_time(column, fault)
        case _:
            return healthy + _deviation(fault)


def _from_another_time(column: NDArray[np.float64], fault: Fault) -> NDArray[np.float64]:
    n, length = len(column), fault.stop - fault.start
    # Far enough that no faulty row keeps a value of these rows, where the column is long enough.
    least, most = (length, n - length) if n >= 2 * length else (n // 2, n // 2)
    turn = int(np.random.default_rng(fault.seed).integers(least, most + 1))
    return column.take(np.arange(fault.start - turn, fault.stop - turn), mode="wrap")


def _deviation(fault: Fault) -> NDArray[np.float64]:
    length = fault.stop - fault.start
    assert fault.size is not None
    match fault.kind:
        case FaultKind.SPIKE:
            shape = np.zeros(length)
            shape[0] = 1.0
        case FaultKind.DRIFT:
            shape = np.arange(1, length + 1) / length
        case FaultKind.NOISE:
            shape = np.random.default_rng(fault.seed).normal(size=length)
        case _:
            shape = np.ones(length)
    return fault.size * shape
