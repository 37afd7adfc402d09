"""How far apart two samples are, and how probable that is without drift. Knows no readings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, rel_entr


def ks_statistic(reference: NDArray[Any], sample: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov statistic: the largest distance of two distribution functions.

    Parameters
    ----------
    reference, sample
        Shape (n,): counts or weights at the same places, in order.

    Examples
    --------
    >>> ks_statistic(np.array([1.0, 1.0, 0.0]), np.array([0, 3, 3]))
    0.5
    """
    then, now = np.cumsum(reference), np.cumsum(sample)
    return float(np.abs(then / then[-1] - now / now[-1]).max())


def ks_p_value(statistic: float, n: float, m: float) -> float:
    """How probable at least this statistic is, for so many independent values on either side.

    The limiting distribution with the correction for few values by Stephens, 1970, "Use of the
    Kolmogorov-Smirnov, Cramer-von Mises and related statistics without extensive tables", J. R.
    Stat. Soc. B 32. For correlated values n and m are the effective numbers.

    Examples
    --------
    >>> round(ks_p_value(0.3, 100, 100), 4)
    0.0002
    """
    root = math.sqrt(n * m / (n + m))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * statistic))


def js_distance(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Jensen-Shannon distance of two distributions over the same bins, to base 2: 0 to 1.

    Lin, 1991, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37;
    its root is a metric: Endres and Schindelin, 2003, IEEE Trans. Inf. Theory 49.

    Examples
    --------
    >>> js_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    return math.sqrt(_divergence(p, q, 0.5) / math.log(2.0))


def js_p_value(p: NDArray[np.float64], n: float, q: NDArray[np.float64], m: float) -> float:
    """How probable two such samples of n and m independent values are from one distribution.

    Twice the size times the divergence, weighted by size, is the likelihood ratio's G statistic,
    nearly of the chi-squared distribution. Grosse et al., 2002, "Analysis of symbolic sequences
    using the Jensen-Shannon divergence", Phys. Rev. E 65.

    Examples
    --------
    >>> half, most = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    >>> js_p_value(half, 50, most, 50) < 1e-4 < 0.05 < js_p_value(half, 5, most, 5)
    True
    """
    bins = int(np.count_nonzero((p > 0) | (q > 0)))
    if bins < 2:
        return 1.0
    return float(chdtrc(bins - 1, 2 * (n + m) * _divergence(p, q, n / (n + m))))


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64], weight: float) -> float:
    mixed = weight * p + (1 - weight) * q
    divergence = weight * rel_entr(p, mixed).sum() + (1 - weight) * rel_entr(q, mixed).sum()
    return max(0.0, float(divergence))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct the p-values of several comparisons, so that even one false find is improbable.

    Holm, 1979, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6. It
    needs no independence: sensors of one machine move together.

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.02])).tolist()
    [0.03, 0.5, 0.04]
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return corrected
