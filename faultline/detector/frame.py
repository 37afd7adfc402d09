"""Where one machine's clusters are, and how far its places are from them. NumPy only.

It must not know time, nor how anything is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation
from faultline.detector.covariance import Metric
from faultline.detector.new_normal import NewNormal


@dataclass(frozen=True, eq=False)
class Frame:
    """Where one machine's clusters are, and what counts as far.

    Attributes
    ----------
    metric
        Of the distance.
    clusters
        Shape (k, d), scaled.
    baseline
        Shape (d,), scaled: how far the machine is from its type.
    boundary
        The distance that scores 1.0.
    """

    metric: Metric
    clusters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    boundary: float

    def shift(self, known: Adaptation) -> NDArray[np.float64]:
        """How far the clusters have moved for the machine; shape (1, d)."""
        return (self.baseline + known.offset)[np.newaxis]

    def lengths(
        self, deviations: NDArray[np.float64], widened: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """How long some deviations are, by the metric; shape (n, d) -> (n,)."""
        return self.metric.nearest(deviations, widened, self._origin)[0]

    def nearest_state(
        self,
        new_normal: NewNormal,
        places: NDArray[np.float64],
        widened: NDArray[np.float64] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How far n places are from the nearest state of a new normal, and whose cluster's it is.

        Places are less the baseline; shape (n, d).
        """
        homes = new_normal.clusters
        distances = np.array(
            [self.lengths(places - new_normal.places[home], widened) for home in homes]
        )
        return distances.min(axis=0), homes[distances.argmin(axis=0)]

    @cached_property
    def _origin(self) -> NDArray[np.float64]:
        return np.zeros((1, len(self.baseline)))
