"""Studies window means: how many clusters, which sensors are slow, what the held-out rows say.

Needs scikit-learn. It knows no boundary and builds no detector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faultline.detector.boundary import groups_of
from faultline.detector.clusters import Candidate, ClusterSettings, try_every_k
from faultline.detector.config import FitConfig
from faultline.detector.covariance import Metric
from faultline.detector.drift import (
    held_out_deviation,
    short_term_deviation,
    slow_sensors,
    widening_of,
)
from faultline.detector.holdout import HeldOut, deviations, hold_out
from faultline.detector.learning import Learnt, first_offsets, learn
from faultline.detector.training import WindowTable, without_levels


@dataclass(frozen=True, eq=False)
class Study:
    """What the windows say.

    Attributes
    ----------
    candidates, sample_rows
        See `try_every_k`.
    learnt
        From all windows, with the chosen k.
    held_out
        The same from all stretches but one, in turn.
    slow_sensors
        Name to reason.
    table
        The windows, less the levels of the slow sensors.
    speed
        Shape (d,), in spreads: how fast those levels are tracked at most; 0 for the others.
    """

    candidates: tuple[Candidate, ...]
    sample_rows: int
    learnt: Learnt
    held_out: HeldOut
    slow_sensors: Mapping[str, str]
    table: WindowTable
    speed: NDArray[np.float64]


def study(
    table: WindowTable,
    *,
    sensors: Sequence[str],
    history_rows: NDArray[np.int64],
    own_baseline: NDArray[np.bool_],
    window_rows: int,
    config: FitConfig,
) -> Study:
    """Study the windows of machines of one type.

    First with all sensors alike; and again, with the slow ones widened, if there are any.

    Parameters
    ----------
    table
        All windows; columns as `sensors`.
    history_rows
        Shape (m,): rows in each machine's history.
    own_baseline
        Shape (m,), bool: which machines get a baseline.
    window_rows
        Length of a window.
    config
        How.

    Raises
    ------
    UnfitHistory
        When the history is too short to hold anything out.
    """
    look = _Look(history_rows, own_baseline, window_rows, config)
    first = look.at(table, np.zeros(table.means.shape[1], dtype=np.bool_))
    # The form of a window has no level that could drift.
    reasons = {} if config.shape else _slow(table, first, sensors, window_rows, config)
    if not reasons:
        return first
    is_slow = np.isin(sensors, list(reasons))
    less, speed = without_levels(table, is_slow, window_rows)
    again = look.at(less, is_slow)
    return replace(again, slow_sensors=reasons, speed=speed)


def least_offset(boundary: float, metric: Metric, d: int) -> float:
    """Say how far a single sensor must be off for a row on a cluster to reach the boundary.

    Parameters
    ----------
    boundary
        As it was calibrated for this metric.
    metric
        Of the distance.
    d
        How many sensors there are.

    Returns
    -------
    float
        Geometric mean over the sensors, in scales.

    Examples
    --------
    >>> together = Metric(np.array([[1.0, 0.9], [0.9, 1.0]]))
    >>> least_offset(4.0, Metric(None), 2), round(least_offset(4.0, together, 2), 2)
    (4.0, 1.74)
    """
    tolerance = np.broadcast_to(metric.parts(np.ones((1, d)))[2], d)
    return boundary * float(np.exp(np.log(tolerance).mean()))


@dataclass(frozen=True, eq=False)
class _Look:
    """How to look at windows, with or without slow sensors."""

    history_rows: NDArray[np.int64]
    own_baseline: NDArray[np.bool_]
    window_rows: int
    config: FitConfig

    def at(self, table: WindowTable, is_slow: NDArray[np.bool_]) -> Study:
        config, widening = self.config, widening_of(is_slow)
        settings = ClusterSettings(
            smallest_share=config.smallest_cluster_share,
            finest=config.k_max,
            max_rows=config.max_cluster_rows,
            silhouette_sample_rows=config.silhouette_sample_rows,
            seed=config.seed,
        )
        offsets = first_offsets(table.means, table.machine, self.own_baseline)
        candidates, k, sample_rows = try_every_k(
            table.means - offsets[table.machine], config.k_min, config.k_max, settings, widening
        )

        def learn_from(part: WindowTable, seen: NDArray[np.bool_]) -> Learnt:
            return learn(
                part.means,
                part.machine,
                self.own_baseline,
                k=k,
                settings=settings,
                widening=widening[seen],
            )

        held_out = hold_out(
            table,
            history_rows=self.history_rows,
            window_rows=self.window_rows,
            blocks=config.held_out_blocks,
            learn_from=learn_from,
            least_others=k + 1,
        )
        every = np.ones(len(widening), dtype=np.bool_)
        return Study(
            candidates=candidates,
            sample_rows=sample_rows,
            learnt=learn_from(table, every),
            held_out=held_out,
            slow_sensors={},
            table=table,
            speed=np.zeros(len(widening)),
        )


def _slow(
    table: WindowTable,
    found: Study,
    sensors: Sequence[str],
    window_rows: int,
    config: FitConfig,
) -> dict[str, str]:
    """Find the slow sensors, name to reason."""
    deviation = deviations(table, found.held_out)
    whole = np.isfinite(deviation).any(axis=1)
    groups = groups_of(np.where(whole, 0.0, np.nan), table.machine, found.held_out.block)
    held_out = held_out_deviation(deviation, groups)
    short_term = short_term_deviation(table.means, table.machine, table.row, window_rows)
    is_slow = np.isin(sensors, config.slow_sensors)
    reasons = dict.fromkeys(np.array(sensors)[is_slow].tolist(), "declared slow")
    if config.drift == "auto":
        drifting = slow_sensors(held_out, short_term) & ~is_slow
        for column in np.flatnonzero(drifting).tolist():
            times = held_out[column] / max(short_term[column], np.finfo(np.float64).tiny)
            reasons[sensors[column]] = (
                "drifts: from one stretch of the history to another it moves "
                f"{min(times, 999):.0f} times as much as in a moment"
            )
    return reasons
