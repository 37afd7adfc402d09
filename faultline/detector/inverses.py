"""Keeps the inverses of a covariance's parts, by which sensors are present. NumPy only."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 64 * 1024 * 1024
"""The inverses that are kept take no more than this, and the one asked for last."""


class Inverse(NamedTuple):
    """Of p sensors that are present; shape (p, p) each, ``root @ root.T == precision``."""

    root: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.root.nbytes + self.precision.nbytes


class Inverses:
    """Inverses of the parts of one covariance; of use to several threads at once.

    A sensor that is gone is gone for many rows, so an inverse is worth keeping.

    Parameters
    ----------
    covariance
        Shape (d, d), symmetric.
    most_bytes
        When those of the patterns seen so far take more, the ones found first are forgotten.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the covariance is not positive definite.

    Examples
    --------
    >>> inverses = Inverses(np.diag([4.0, 1.0]))
    >>> inverses.whole.precision.diagonal(), inverses.of(np.array([True, False])).precision
    (array([0.25, 1.  ]), array([[0.25]]))
    """

    def __init__(self, covariance: NDArray[np.float64], most_bytes: int = MOST_BYTES) -> None:
        self._covariance = covariance
        self._most_bytes = most_bytes
        self._known: dict[bytes, Inverse] = {}
        self._known_bytes = 0
        self._lock = Lock()
        self.whole = _inverse(covariance)
        """The inverse for rows of which nothing is missing."""

    @property
    def nbytes(self) -> int:
        """How much memory the inverses for incomplete rows take."""
        return self._known_bytes

    def of(self, present: NDArray[np.bool_]) -> Inverse:
        """Give the inverse for rows that have the sensors `present`, shape (d,), and no others."""
        if present.all():
            return self.whole
        key = present.tobytes()
        found = self._known.get(key)
        if found is None:
            found = _inverse(self._covariance[np.ix_(present, present)])
            self._keep(key, found)
        return found

    def _keep(self, key: bytes, inverse: Inverse) -> None:
        with self._lock:
            if key in self._known:  # another thread was faster
                return
            self._known[key] = inverse
            self._known_bytes += inverse.nbytes
            while self._known_bytes > self._most_bytes and len(self._known) > 1:
                oldest = next(iter(self._known))
                self._known_bytes -= self._known.pop(oldest).nbytes


def _inverse(covariance: NDArray[np.float64]) -> Inverse:
    lower = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(lower)
    return Inverse(np.ascontiguousarray(inverse.T), inverse.T @ inverse)
