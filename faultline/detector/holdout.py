"""Holds stretches of the history out and measures them by what the others teach.

It knows windows and blocks of time; it must not know boundaries or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector.covariance import Metric
from faultline.detector.distance import nearest_cluster
from faultline.detector.history import UnfitHistory
from faultline.detector.learning import Learnt
from faultline.detector.smoothing import widening
from faultline.detector.training import WindowTable

LEAST_BLOCKS = 2
"""Fewer stretches than this can't be compared."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One stretch of every machine, and what the other stretches taught.

    Attributes
    ----------
    held_out
        Shape (n,), bool: the windows that lie in it wholly.
    seen
        Shape (d,), bool: the sensors that the others have; `learnt` is of these.
    """

    held_out: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    learnt: Learnt


@dataclass(frozen=True, eq=False)
class HeldOut:
    """All stretches, each held out once.

    Attributes
    ----------
    block
        Shape (n,): the stretch that a window ends in.
    """

    folds: tuple[Fold, ...]
    block: NDArray[np.int64]


def hold_out(
    table: WindowTable,
    *,
    history_rows: NDArray[np.int64],
    window_rows: int,
    blocks: int,
    learn_from: Callable[[WindowTable, NDArray[np.bool_]], Learnt],
    least_others: int,
) -> HeldOut:
    """Hold out one stretch of every machine after another and learn from the others.

    Each machine's rows are cut into `blocks` equal stretches. What is learnt from the others is
    learnt without the windows that share a row with the held-out ones.

    Parameters
    ----------
    table
        All windows.
    history_rows
        Rows in each machine's history.
    window_rows
        Length of a window.
    blocks
        How many stretches; fewer, but at least two, where they would be shorter than two windows.
    learn_from
        Learns from some of the windows and the sensors that they have, shape (d,).
    least_others
        With fewer windows to learn from than this, a stretch is not held out.

    Raises
    ------
    UnfitHistory
        When the history is too short to hold anything out.
    """
    longest = int(history_rows.max())
    count = min(blocks, longest // (2 * window_rows))
    if count < LEAST_BLOCKS:
        raise UnfitHistory(
            f"the longest history has {longest} rows; a window of {window_rows} rows needs "
            f"{2 * LEAST_BLOCKS * window_rows} of one machine to hold some out; send more history"
        )
    # The block that a window's last and first row lie in: a window in two blocks is in neither.
    rows = history_rows[table.machine]
    last = table.row * count // rows
    first = (table.row - window_rows + 1) * count // rows
    folds = []
    for block in range(count):
        held_out = np.asarray((last == block) & (first == block))
        others = np.asarray((last < block) | (first > block))
        if held_out.any() and others.sum() >= least_others:
            # A sensor that only the held-out rows have can't be judged by the others.
            seen = np.asarray(np.isfinite(table.means[others]).any(axis=0))
            folds.append(Fold(held_out, seen, learn_from(table.rows(others).columns(seen), seen)))
    return HeldOut(tuple(folds), last)


def deviations(table: WindowTable, held_out: HeldOut) -> NDArray[np.float64]:
    """How far held-out windows are from their nearest cluster, sensor by sensor.

    Returns
    -------
    ndarray
        Shape (n, d), in spreads of single rows; NaN for windows that were never held out, and
        where missing.
    """
    deviation = np.full(table.means.shape, np.nan)
    for fold, rows in _judged(table, held_out):
        nearest = nearest_cluster(rows.places, None, fold.learnt.clusters)[1]
        cells = np.ix_(rows.windows, fold.seen)
        deviation[cells] = fold.learnt.scale * (rows.places - fold.learnt.clusters[nearest])
    return deviation


def distances(
    table: WindowTable, held_out: HeldOut, window_rows: int, *, through_covariance: bool
) -> NDArray[np.float64]:
    """Distance of held-out windows to the nearest cluster of what the other blocks taught.

    Returns
    -------
    ndarray
        Shape (n,); NaN for windows that were never held out.
    """
    distance = np.full(len(table), np.nan)
    for fold, rows in _judged(table, held_out):
        learnt = fold.learnt
        counts = table.counts[np.ix_(rows.windows, fold.seen)]
        partial = bool((counts < window_rows).any())
        distance[rows.windows] = Metric(learnt.covariance if through_covariance else None).nearest(
            rows.places,
            widening(counts, window_rows, 1.0 / learnt.scale) if partial else None,
            learnt.clusters,
        )[0]
    return distance


class _Rows(NamedTuple):
    windows: NDArray[np.int64]
    places: NDArray[np.float64]


def _judged(table: WindowTable, held_out: HeldOut) -> Iterator[tuple[Fold, _Rows]]:
    """Every fold's windows that can be judged, and where they are in its scales."""
    for fold in held_out.folds:
        windows = np.flatnonzero(fold.held_out)
        rows = fold.learnt.rows(table.means[np.ix_(windows, fold.seen)], table.machine[windows])
        some = ~np.isnan(rows).all(axis=1)
        yield fold, _Rows(windows[some], rows[some])
