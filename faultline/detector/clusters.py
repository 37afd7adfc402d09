"""Clusters window means by k-means and chooses k by silhouette. Needs scikit-learn.

It knows nothing of machines, time or boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.kmeans import distinct_rows, k_means
from faultline.detector.location import biweight
from faultline.detector.scale import robust_scale
from faultline.detector.separation import LEAST_SEPARATION, separation
from faultline.detector.stability import LEAST_STABILITY, Split, agreements, splits

_LEAST_SCALE = 1e-3
"""In spreads of single rows. The means of white noise vary by the root of the window's length less
than single rows; what varies a thousand times less repeats to the last digit, or stands still in
this part of the history."""

_ASIDE_ROUNDS = 3
_ASIDE_SHARE = 0.05
"""More rows than this are not a few wild ones: they stay in, whatever clusters they make."""


@dataclass(frozen=True)
class Candidate:
    """One k that was tried.

    Attributes
    ----------
    k
        Number of clusters.
    silhouette
        Mean Euclidean silhouette on the sampled rows; NaN where it is undefined because the
        sample fell into one cluster.
    cluster_sizes
        Rows per cluster, largest first.
    smallest_share
        The smallest cluster's part of the rows.
    inertia
        Mean squared distance of a row to its cluster, in scales.
    separation
        How many standard deviations of a cluster the border to another is away, at the two that
        are least apart: see `faultline.detector.separation`.
    stability
        Median adjusted Rand index of clusterings of two halves of the history: see
        `faultline.detector.stability`. NaN where it was not asked for, because the candidate is
        refused for another reason.
    refusal
        Why it could not be chosen; None when it could.
    """

    k: int
    silhouette: float
    cluster_sizes: tuple[int, ...]
    smallest_share: float
    inertia: float
    separation: float
    stability: float
    refusal: str | None


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters, and the scale they are expressed in.

    Attributes
    ----------
    centre, scale
        Shape (d,): robust centre and scale of the window means.
    clusters
        Shape (k, d), in scales from the centre.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    clusters: NDArray[np.float64]


@dataclass(frozen=True)
class ClusterSettings:
    """What `cluster` and `try_every_k` need to know beyond the rows.

    Attributes
    ----------
    smallest_share
        A cluster with a smaller part of the rows is tiny: outliers and no regime.
    finest
        The k that tiny clusters are looked for with.
    max_rows
        More rows are thinned to these, evenly over time.
    silhouette_sample_rows
        The silhouette is computed on so many rows at most.
    seed
        Of the starts and the sample.
    """

    smallest_share: float
    finest: int
    max_rows: int
    silhouette_sample_rows: int
    seed: int


def cluster(
    means: NDArray[np.float64],
    k: int,
    settings: ClusterSettings,
    widening: NDArray[np.float64] | None = None,
) -> Clustering:
    """Scale window means and find their k clusters.

    Parameters
    ----------
    means
        Shape (n, d), in spreads of single rows; NaN is missing, but no column is all missing.
    k
        Number of clusters, at least 1. There are fewer when fewer rows are distinct.
    settings
        See there.
    widening
        Shape (d,): multiplies the scale of each sensor; None for 1.

    Returns
    -------
    Clustering
        The same for the same rows and settings.
    """
    with threadpool_limits(limits=1):
        # One thread: several add up their parts in any order, and the last bits differ.
        centre, scale, rows = _prepared(means, settings, widening)
        rows = rows[_ordinary(rows, settings)]
        clusters, _, _ = k_means(rows, min(k, distinct_rows(rows)), settings.seed)
    if len(clusters) == 1:
        # A mean would follow a stretch that is unlike the others.
        ordinary = np.ones(rows.shape[1]) if widening is None else 1 / widening
        clusters = biweight(rows, ordinary)[np.newaxis]
    return Clustering(centre, scale, clusters)


def try_every_k(
    means: NDArray[np.float64],
    k_min: int,
    k_max: int,
    settings: ClusterSettings,
    widening: NDArray[np.float64] | None = None,
) -> tuple[tuple[Candidate, ...], int, int]:
    """Cluster with every k and say how well each separates.

    Parameters
    ----------
    means
        Shape (n, d), in spreads of single rows; NaN is missing, but no column is all missing.
    k_min, k_max
        The range of k, at least 2.
    settings
        See there.
    widening
        Shape (d,): multiplies the scale of each sensor; None for 1.

    Returns
    -------
    candidates
        One per k, but none with more clusters than there are distinct rows.
    chosen
        The k with the highest silhouette among those without a tiny cluster that are stable and
        separated; 1 if there is none.
    sample_rows
        On how many rows the silhouettes were computed.

    Notes
    -----
    Rousseeuw, 1987, "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis", J. Comput. Appl. Math. 20. All candidates are judged on the same sample.
    """
    with threadpool_limits(limits=1):
        _, _, rows = _prepared(means, settings, widening)
        rows = rows[_ordinary(rows, settings)]
        order = np.random.default_rng(settings.seed).permutation(len(rows))
        sample = np.sort(order[: settings.silhouette_sample_rows])
        most = min(k_max, distinct_rows(rows), len(rows) - 1)
        halves = splits(rows, settings.seed)
        candidates = [_judged(rows, k, sample, halves, settings) for k in range(k_min, most + 1)]
    accepted = [candidate for candidate in candidates if candidate.refusal is None]
    if not accepted:
        return tuple(candidates), 1, len(sample)
    best = max(accepted, key=lambda candidate: (candidate.silhouette, -candidate.k))
    return tuple(candidates), best.k, len(sample)


def _prepared(
    means: NDArray[np.float64], settings: ClusterSettings, widening: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    means = means[np.isfinite(means).any(axis=1)]
    if len(means) > settings.max_rows:
        means = means[np.linspace(0, len(means) - 1, settings.max_rows).astype(np.int64)]
    centre, scale = robust_scale(means, least=_LEAST_SCALE)
    if widening is not None:
        scale = scale * widening
    return centre, scale, (means - centre) / scale


def _ordinary(rows: NDArray[np.float64], settings: ClusterSettings) -> NDArray[np.bool_]:
    """Which rows to learn from: not those that only make a tiny cluster.

    Left in, a few wild rows would draw a cluster, or the mean of the only one, to themselves.
    The idea is that of k-means-- (Chawla and Gionis, 2013, "k-means--: a unified approach to
    clustering and outlier detection", SDM), with a cluster's size in place of a given number.
    """
    keep = np.ones(len(rows), dtype=np.bool_)
    finest = max(settings.finest, 2)
    for _ in range(_ASIDE_ROUNDS):
        if distinct_rows(rows[keep]) <= finest:
            break
        _, labels, _ = k_means(rows[keep], finest, settings.seed)
        tiny = np.bincount(labels, minlength=finest) < settings.smallest_share * len(rows)
        set_aside = tiny[labels].sum() + (~keep).sum()
        if not tiny.any() or set_aside > _ASIDE_SHARE * len(rows):
            break
        keep[np.flatnonzero(keep)[tiny[labels]]] = False
    return keep


def _judged(
    rows: NDArray[np.float64],
    k: int,
    sample: NDArray[np.int64],
    halves: Sequence[Split],
    settings: ClusterSettings,
) -> Candidate:
    centres, labels, filled = k_means(rows, k, settings.seed)
    sizes = np.sort(np.bincount(labels, minlength=k))[::-1]
    share = float(sizes[-1] / len(rows))
    silhouette = float("nan")
    if 1 < len(np.unique(labels[sample])) < len(sample):
        silhouette = float(silhouette_score(filled[sample], labels[sample], metric="euclidean"))
    separate = separation(rows, labels, centres)
    stable = float("nan")
    refusal = _refusal(silhouette, share, separate, settings)
    if refusal is None:
        # By far the dearest test, so only of those that passed the others.
        stable = float(np.median(agreements(halves, k, settings.seed)))
        if stable < LEAST_STABILITY:
            refusal = (
                f"unstable: clusterings of two halves of the history agree to {stable:.2f} "
                f"(adjusted Rand index), less than {LEAST_STABILITY:g}"
            )
    return Candidate(
        k=k,
        silhouette=silhouette,
        cluster_sizes=tuple(int(size) for size in sizes),
        smallest_share=share,
        inertia=float(np.square(filled - centres[labels]).sum(axis=1).mean()),
        separation=separate,
        stability=stable,
        refusal=refusal,
    )


def _refusal(
    silhouette: float, share: float, separate: float, settings: ClusterSettings
) -> str | None:
    if share < settings.smallest_share:
        return f"its smallest cluster has {100 * share:.2f} % of the rows"
    if np.isnan(silhouette):
        return "its silhouette is undefined: the sample fell into one cluster"
    if separate < LEAST_SEPARATION:
        return (
            f"one cluster cut up: a border lies {separate:.2f} standard deviations from a centre "
            f"beside it, less than {LEAST_SEPARATION:g}"
        )
    return None
