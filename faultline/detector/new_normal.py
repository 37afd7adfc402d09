"""Lasting states of a machine beyond the boundary: those proposed, and those that are normal now.

A machine that goes on changing among k regimes is in up to k states, one beside each cluster. NumPy
only; knows no distances, no boundary and no rule of when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class NewNormal:
    """Lasting states that are scored against beside the clusters, at most one for each of k.

    Attributes
    ----------
    places
        Shape (k, d), in the detector's scales; NaN for a cluster without one.
    ordinary
        Shape (k,), bool: clusters in which the machine was ordinary while these states lasted.
    """

    places: NDArray[np.float64]
    ordinary: NDArray[np.bool_]

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Which clusters have one, shape (j,)."""
        return np.flatnonzero(~np.isnan(self.places[:, 0]))

    def after_ordinary(self, cluster: int) -> NewNormal | None:
        """Return what is left after a step within a cluster.

        Nothing, where the machine was beyond it before or had not been: it is not what it was, and
        a fault that was repaired must alarm when it returns.
        """
        return self if self.ordinary[cluster] else None


@dataclass(frozen=True, eq=False)
class Proposal:
    """States that may become the new normal once the machine has been nowhere else for long.

    Attributes
    ----------
    places
        Shape (k, d): their means, each in the row of the cluster that it was found nearest to; NaN
        elsewhere, and where a sensor is missing.
    steps
        Shape (k,), int64: how many steps each is the mean of.
    ordinary
        Shape (k,), bool: clusters in which the machine was ordinary meanwhile.
    for_ms
        How long the machine was seen in these states since the last of them was found.
    last_ms
        Up to when that was counted: in milliseconds from the machine's last row, 0 or less.
    """

    places: NDArray[np.float64]
    steps: NDArray[np.int64]
    ordinary: NDArray[np.bool_]
    for_ms: int
    last_ms: int

    @classmethod
    def first(cls, place: NDArray[np.float64], cluster: int, k: int, at_ms: int) -> Proposal:
        """Begin with one state, shape (d,), seen now beside one of k clusters."""
        nowhere = np.full((k, len(place)), np.nan)
        nothing = cls(nowhere, np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.bool_), 0, at_ms)
        return nothing.also(place, cluster, at_ms)

    def has_room(self, cluster: int) -> bool:
        """Whether no state beside a cluster is proposed yet."""
        return not self.steps[cluster]

    def also(self, place: NDArray[np.float64], cluster: int, at_ms: int) -> Proposal:
        """Return it with a further state; how long they last counts from now."""
        return replace(
            self,
            places=_with(self.places, cluster, place),
            steps=_with(self.steps, cluster, 1),
            for_ms=0,
            last_ms=at_ms,
        )

    def seen(self, place: NDArray[np.float64], cluster: int, at_ms: int) -> Proposal:
        """Return it with one more step in the mean of a cluster's state."""
        before, steps = self.places[cluster], int(self.steps[cluster]) + 1
        mean = before + np.nan_to_num(place - before) / steps
        return replace(
            self,
            places=_with(self.places, cluster, np.where(np.isnan(before), place, mean)),
            steps=_with(self.steps, cluster, steps),
            for_ms=self.for_ms + at_ms - self.last_ms,
            last_ms=at_ms,
        )

    def later(self, watched_ms: int) -> Proposal:
        """Return it with its clock at a later row."""
        return replace(self, last_ms=self.last_ms - watched_ms)

    def after_ordinary(self, cluster: int, at_ms: int) -> Proposal | None:
        """Return what is left after a step within a cluster.

        Nothing, if a state beside it is proposed. Else the machine's fault does not show in that
        regime; the time it spends there neither counts nor breaks.
        """
        if self.steps[cluster]:
            return None
        if self.ordinary[cluster]:
            return replace(self, last_ms=at_ms)
        return replace(self, ordinary=_with(self.ordinary, cluster, True), for_ms=0, last_ms=at_ms)

    def settled(self, before: NewNormal | None, expected: NDArray[np.float64]) -> NewNormal:
        """Make these states the new normal.

        One that was seen in a single step may have been on the way between two, and is left out.

        Parameters
        ----------
        before
            The new normal so far. It stays for clusters beside which nothing was proposed.
        expected
            Shape (k, d): where sensors are taken to be that were never there.
        """
        is_new = self.steps > 1
        places = np.where(np.isnan(self.places), expected, self.places)
        old = np.full_like(places, np.nan) if before is None else before.places
        ordinary = self.ordinary if before is None else self.ordinary | before.ordinary
        return NewNormal(np.where(is_new[:, np.newaxis], places, old), ordinary & ~is_new)


_Array = TypeVar("_Array", bound=NDArray[Any])


def _with(values: _Array, row: int, value: object) -> _Array:
    changed = values.copy()
    changed[row] = value
    return changed
