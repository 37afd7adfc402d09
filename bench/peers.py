"""Other detectors, each used as its own documentation shows. Needs the extra `peers`.

They learn from training rows alone; no label and no assumed contamination sets a threshold, but
where a peer's default does, and that row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from pyod.models.base import BaseDetector
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.pca import PCA
from river.anomaly import HalfSpaceTrees
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from bench.control_charts import hotelling_t2_and_q
from bench.learning import ASSUMED_CONTAMINATION, Fitted, Peer
from bench.recordings import Rows
from faultline.detector.fit import FitConfig

TRAINING_QUANTILE = 1 - FitConfig().false_alarm_rate
"""The threshold that gives a peer the same share of alarms in training as Faultline's default
false-alarm rate asks for."""


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


PEERS: Mapping[str, Peer] = {
    "PyOD IForest": _pyod(lambda: IForest(random_state=0)),
    "PyOD ECOD": _pyod(ECOD),
    "PyOD KNN": _pyod(KNN),
    "PyOD PCA": _pyod(PCA),
    "T2|Q": hotelling_t2_and_q,
    "River HalfSpaceTrees": half_space_trees,
}
