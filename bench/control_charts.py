"""The control charts of multivariate process monitoring, in scikit-learn's terms: T2 and Q."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from bench.learning import Fitted
from bench.recordings import Rows

EXPLAINED_VARIANCE = 0.95
CONFIDENCE = 0.99


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
    t2_limit = t2_limit_of(kept, len(train))
    q_limit = q_limit_of(full.explained_variance_[kept:])

    def score(rows: Rows) -> NDArray[np.float64]:
        centred = scaler.transform(rows) - full.mean_
        latent = centred @ components.T
        t2 = (latent**2 / variances).sum(axis=1)
        q = ((centred - latent @ components) ** 2).sum(axis=1)
        return np.asarray(np.maximum(t2 / t2_limit, q / q_limit))

    return Fitted(score, {"limits at 99 %": 1.0})


def t2_limit_of(components: int, rows: int) -> float:
    """Limit of Hotelling's T2 for a row that is not among the `rows` learnt from."""
    quantile = stats.f.ppf(CONFIDENCE, components, rows - components)
    return float(components * (rows**2 - 1) / (rows * (rows - components)) * quantile)


def q_limit_of(residual_variances: NDArray[np.float64]) -> float:
    """Limit of Q by the variances of the components left out; infinite where none is left."""
    first, second, third = (float((residual_variances**power).sum()) for power in (1, 2, 3))
    if second <= 0:
        return float("inf")
    h = 1 - 2 * first * third / (3 * second**2)
    normal = stats.norm.ppf(CONFIDENCE)
    inner = normal * np.sqrt(2 * second * h**2) / first + 1 + second * h * (h - 1) / first**2
    return float(first * inner ** (1 / h))
