"""Clusters window means by k-means and chooses k by silhouette. Needs scikit-learn.

It knows nothing of machines, time or boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.distance import nearest_cluster
from faultline.detector.scale import robust_scale

_LEAST_SCALE = 1e-3
"""In spreads of single rows. The means of white noise vary by the root of the window's length less
than single rows; what varies a thousand times less repeats to the last digit, or stands still in
this part of the history."""

_STARTS = 4
_ASIDE_ROUNDS = 3
_ASIDE_SHARE = 0.05
"""More rows than this are not a few wild ones: they stay in, whatever clusters they make."""

_FILL_ROUNDS = 3


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
    refusal
        Why it could not be chosen; None when it could.
    """

    k: int
    silhouette: float
    cluster_sizes: tuple[int, ...]
    smallest_share: float
    inertia: float
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


def cluster(means: NDArray[np.float64], k: int, settings: ClusterSettings) -> Clustering:
    """Scale window means and find their k clusters.

    Parameters
    ----------
    means
        Shape (n, d), in spreads of single rows; NaN is missing, but no column is all missing.
    k
        Number of clusters, at least 1. There are fewer when fewer rows are distinct.
    settings
        See there.

    Returns
    -------
    Clustering
        The same for the same rows and settings.
    """
    with threadpool_limits(limits=1):
        # One thread: several add up their parts in any order, and the last bits differ.
        centre, scale, rows = _prepared(means, settings)
        rows = rows[_ordinary(rows, settings)]
        clusters, _, _ = _k_means(rows, min(k, _distinct(rows)), settings.seed)
    return Clustering(centre, scale, clusters)


def try_every_k(
    means: NDArray[np.float64], k_min: int, k_max: int, settings: ClusterSettings
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

    Returns
    -------
    candidates
        One per k, but none with more clusters than there are distinct rows.
    chosen
        The k with the highest silhouette among those without a tiny cluster; 1 if there is none.
    sample_rows
        On how many rows the silhouettes were computed.

    Notes
    -----
    Rousseeuw, 1987, "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis", J. Comput. Appl. Math. 20. All candidates are judged on the same sample.
    """
    with threadpool_limits(limits=1):
        _, _, rows = _prepared(means, settings)
        rows = rows[_ordinary(rows, settings)]
        order = np.random.default_rng(settings.seed).permutation(len(rows))
        sample = np.sort(order[: settings.silhouette_sample_rows])
        candidates = []
        for k in range(k_min, min(k_max, _distinct(rows), len(rows) - 1) + 1):
            centres, labels, filled = _k_means(rows, k, settings.seed)
            candidates.append(_judged(filled, labels, centres, sample, settings.smallest_share))
    accepted = [candidate for candidate in candidates if candidate.refusal is None]
    if not accepted:
        return tuple(candidates), 1, len(sample)
    best = max(accepted, key=lambda candidate: (candidate.silhouette, -candidate.k))
    return tuple(candidates), best.k, len(sample)


def _prepared(
    means: NDArray[np.float64], settings: ClusterSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    means = means[np.isfinite(means).any(axis=1)]
    if len(means) > settings.max_rows:
        means = means[np.linspace(0, len(means) - 1, settings.max_rows).astype(np.int64)]
    centre, scale = robust_scale(means, least=_LEAST_SCALE)
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
        if _distinct(rows[keep]) <= finest:
            break
        _, labels, _ = _k_means(rows[keep], finest, settings.seed)
        tiny = np.bincount(labels, minlength=finest) < settings.smallest_share * len(rows)
        set_aside = tiny[labels].sum() + (~keep).sum()
        if not tiny.any() or set_aside > _ASIDE_SHARE * len(rows):
            break
        keep[np.flatnonzero(keep)[tiny[labels]]] = False
    return keep


def _distinct(rows: NDArray[np.float64]) -> int:
    return len(np.unique(rows, axis=0))


def _k_means(
    rows: NDArray[np.float64], k: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Clusters (k, d), labels (n,) and the rows with what was missing filled in.

    Missing values are filled from the row's cluster, which is then found anew (k-POD: Chi, Chi
    and Baraniuk, 2016, "k-POD: a method for k-means clustering of missing data", Am. Stat. 70).
    A cluster's centre is the mean of what is present, so that no filling draws it to itself.
    """
    missing = np.isnan(rows)
    filled = np.where(missing, 0.0, rows)
    rounds = _FILL_ROUNDS if missing.any() else 1
    for _ in range(rounds):
        model = KMeans(n_clusters=k, n_init=_STARTS if k > 1 else 1, random_state=seed)
        labels = model.fit(filled).labels_.astype(np.int64)
        if missing.any():
            # By what is present, as in scoring: what was filled in would vote for itself.
            labels = nearest_cluster(rows, None, model.cluster_centers_.astype(np.float64))[1]
        centres = _present_means(rows, labels, model.cluster_centers_.astype(np.float64))
        filled = np.where(missing, centres[labels], filled)
    return centres, labels, filled


def _present_means(
    rows: NDArray[np.float64], labels: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the present values per cluster; `centres` where none is or none is missing."""
    present = ~np.isnan(rows)
    if present.all():
        return centres
    means = centres.copy()
    for index in range(len(centres)):
        own = labels == index
        counts = present[own].sum(axis=0)
        np.divide(np.nansum(rows[own], axis=0), counts, out=means[index], where=counts > 0)
    return means


def _judged(
    rows: NDArray[np.float64],
    labels: NDArray[np.int64],
    centres: NDArray[np.float64],
    sample: NDArray[np.int64],
    smallest_share: float,
) -> Candidate:
    k = len(centres)
    sizes = np.sort(np.bincount(labels, minlength=k))[::-1]
    share = float(sizes[-1] / len(rows))
    found = len(np.unique(labels[sample]))
    silhouette = float("nan")
    if 1 < found < len(sample):
        silhouette = float(silhouette_score(rows[sample], labels[sample], metric="euclidean"))
    refusal = None
    if share < smallest_share:
        refusal = f"its smallest cluster has {100 * share:.2f} % of the rows"
    elif np.isnan(silhouette):
        refusal = "its silhouette is undefined: the sample fell into one cluster"
    inertia = float(np.square(rows - centres[labels]).sum(axis=1).mean())
    return Candidate(k, silhouette, tuple(int(size) for size in sizes), share, inertia, refusal)
