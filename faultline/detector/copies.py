"""Tells whether one column of numbers is a copy of another. NumPy only; knows no sensor."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-6
"""Copies differ by less than this part of their values: numbers in files have some six digits."""

_TAIL = 0.05
_OUTLYING = 10.0
_SIGNED_VALUES = 10_000

_FEW_LEVELS = 10
"""Two columns of so few distinct values can run in step without being copies: a switch and the
valve that it opens. Only if they are equal are they called the same."""


class Likeness(Enum):
    """In which way two columns are the same."""

    EQUAL = "equal"
    AFFINE = "equal up to scale and offset"


class Signature(NamedTuple):
    """What all copies of a column have in common; it spares comparing every pair in full.

    Attributes
    ----------
    mark
        A random projection of the column, blind to scale, sign and offset.
    presence
        Which rows hold a value.
    """

    mark: float
    presence: bytes

    def may_match(self, other: Signature) -> bool:
        """Whether the columns can be copies at all."""
        return abs(self.mark - other.mark) <= _TOLERANCE and self.presence == other.presence


def signature(values: NDArray[np.float64]) -> Signature:
    """Sign a column, shape (n,), that is not constant; what is not finite is missing."""
    finite = np.isfinite(values)
    present = values[finite]
    thinned = present[:: 1 + len(present) // _SIGNED_VALUES]
    if np.ptp(thinned) > 0:
        present = thinned
    # Drawn in, because one value far out would drown all others.
    units = np.clip(_units(present), -_OUTLYING, _OUTLYING)
    mark = abs(float(_weights(len(units)) @ units) / len(units))
    return Signature(mark, np.packbits(finite).tobytes())


def compare(one: NDArray[np.float64], other: NDArray[np.float64]) -> Likeness | None:
    """Compare two columns, shape (n,), neither constant, that hold values in the same rows.

    Examples
    --------
    >>> celsius = np.linspace(20.0, 30.0, 50) ** 2
    >>> compare(celsius, 32 + 1.8 * celsius)
    <Likeness.AFFINE: 'equal up to scale and offset'>
    """
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if np.array_equal(one, other):
        return Likeness.EQUAL
    units, other_units = _units(one), _units(other)
    allowed = _TOLERANCE * np.maximum(1.0, np.abs(units))
    is_affine = any(
        (np.abs(units - candidate) <= allowed).all() for candidate in (other_units, -other_units)
    )
    return Likeness.AFFINE if is_affine and len(np.unique(one)) > _FEW_LEVELS else None


def _units(present: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values from their median, in widths of their inner part: for all copies the same.

    Not in units of their whole range: where a logger wrote 1e9 into all columns at once, all would
    be the same.
    """
    low, middle, high = np.quantile(present, (_TAIL, 0.5, 1 - _TAIL))
    units: NDArray[np.float64] = (present - middle) / (high - low or np.ptp(present))
    return units


@lru_cache(maxsize=2)
def _weights(count: int) -> NDArray[np.float64]:
    """Weights of the projection; always the same ones, so that a fit can be repeated."""
    return np.random.default_rng(0).random(count)
