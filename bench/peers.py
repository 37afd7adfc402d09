"""Other detectors, each used as its own documentation shows, behind one small interface.

They learn from training rows alone; no label and no assumed contamination sets a threshold but
where a peer's default does, and that row says so. Needs the extra `peers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pyod.models.base import BaseDetector
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.pca import PCA as PyodPCA  # noqa: N811
from river.anomaly import HalfSpaceTrees
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from bench.recordings import Mask, Rows

Score = Callable[[Rows], NDArray[np.float64]]

TRAINING_QUANTILE = 1 - 0.002
"""The threshold that gives a peer the same share of alarms in training as Faultline's default
false-alarm rate asks for."""
ASSUMED_CONTAMINATION = "default 10 %"
"""Names PyOD's own default threshold: a tenth of the training rows are taken for anomalies."""
EXPLAINED_VARIANCE = 0.95
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Fitted:
    """A peer that has learnt.

    Attributes
    ----------
    score
        Rows of shape (n, d) to scores of shape (n,), higher is more anomalous.
    thresholds
        By what set it.
    """

    score: Score
    thresholds: Mapping[str, float]

    def bad(self, rows: Rows) -> dict[str, Mask]:
        """Say by each threshold which rows are above it, shape (n,)."""
        score = self.score(rows)
        return {name: score > threshold for name, threshold in self.thresholds.items()}


Peer = Callable[[Rows], Fitted]
"""Learns from training rows of shape (n, d)."""


def _pyod(make: Callable[[], BaseDetector]) -> Peer:
    def learn(train: Rows) -> Fitted:
        scaler = StandardScaler().fit(train)
        model = make().fit(scaler.transform(train))
        return Fitted(
            lambda rows: np.asarray(model.decision_function(scaler.transform(rows))),
            {
                ASSUMED_CONTAMINATION: float(model.threshold_),
                "quantile": float(np.quantile(model.decision_scores_, TRAINING_QUANTILE)),
            },
        )

    return learn


def hotelling_t2_and_q(train: Rows) -> Fitted:
    """Learn principal components and the limits of both statistics at 99 %.

    Hotelling's T2 in the components that hold 95 % of the variance, limit from the F distribution;
    Q, the squared residual, limit after Jackson and Mudholkar (Technometrics 21, 1979). A row is
    anomalous when either exceeds its limit.
    """
    scaler = StandardScaler().fit(train)
    full = PCA().fit(scaler.transform(train))
    kept = int(np.searchsorted(np.cumsum(full.explained_variance_ratio_), EXPLAINED_VARIANCE)) + 1
    components, variances = full.components_[:kept], full.explained_variance_[:kept]
    t2_limit = _t2_limit(kept, len(train))
    q_limit = _q_limit(full.explained_variance_[kept:])

    def score(rows: Rows) -> NDArray[np.float64]:
        centred = scaler.transform(rows) - full.mean_
        latent = centred @ components.T
        t2 = (latent**2 / variances).sum(axis=1)
        q = ((centred - latent @ components) ** 2).sum(axis=1)
        return np.maximum(t2 / t2_limit, q / q_limit)

    return Fitted(score, {"limits at 99 %": 1.0})


def _t2_limit(components: int, rows: int) -> float:
    quantile = stats.f.ppf(CONFIDENCE, components, rows - components)
    return float(components * (rows**2 - 1) / (rows * (rows - components)) * quantile)


def _q_limit(residual_variances: NDArray[np.float64]) -> float:
    first, second, third = (float((residual_variances**power).sum()) for power in (1, 2, 3))
    if second <= 0:
        return float("inf")
    h = 1 - 2 * first * third / (3 * second**2)
    normal = stats.norm.ppf(CONFIDENCE)
    inner = normal * np.sqrt(2 * second * h**2) / first + 1 + second * h * (h - 1) / first**2
    return float(first * inner ** (1 / h))


def half_space_trees(train: Rows) -> Fitted:
    """Learn River's half-space trees from the training rows in their order, then stop learning."""
    scaler = MinMaxScaler().fit(train)
    model = HalfSpaceTrees(seed=0)

    def as_features(rows: Rows) -> list[dict[int, float]]:
        return [dict(enumerate(row)) for row in scaler.transform(rows).tolist()]

    def score(rows: Rows) -> NDArray[np.float64]:
        return np.array([model.score_one(row) for row in as_features(rows)])

    for row in as_features(train):
        model.learn_one(row)
    return Fitted(score, {"quantile": float(np.quantile(score(train), TRAINING_QUANTILE))})


def always(train: Rows) -> Fitted:  # noqa: ARG001
    """Call everything an anomaly: what a figure has to be held against."""
    return Fitted(lambda rows: np.ones(len(rows)), {"": 0.5})


PEERS: Mapping[str, Peer] = {
    "PyOD IForest": _pyod(lambda: IForest(random_state=0)),
    "PyOD ECOD": _pyod(ECOD),
    "PyOD KNN": _pyod(KNN),
    "PyOD PCA": _pyod(PyodPCA),
    "T2|Q": hotelling_t2_and_q,
    "River HalfSpaceTrees": half_space_trees,
}


def compared_versions() -> dict[str, str]:
    """Name the versions that were compared."""
    return {name: version(name) for name in ("pyod", "river", "scikit-learn")}
