"""Fits a detector to machines' histories. Needs scikit-learn, so scoring must not import it.

It knows neither where the histories come from nor where the detector goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector.boundary import Calibration, HeldOutBlock, calibrate
from faultline.detector.clusters import Candidate, ClusterSettings, cluster, try_every_k
from faultline.detector.config import FitConfig
from faultline.detector.detector import Detector
from faultline.detector.distance import nearest_cluster
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.training import (
    WindowChoice,
    WindowTable,
    choose_window,
    median_step_ms,
    unusable_sensors,
    window_table,
)

__all__ = [
    "Candidate",
    "ClusterProfile",
    "Fit",
    "FitConfig",
    "HeldOutBlock",
    "MachineHistory",
    "Timeline",
    "UnfitHistory",
    "fit",
]


@dataclass(frozen=True)
class ClusterProfile:
    """What an operating regime looks like.

    Attributes
    ----------
    cluster
        Its index in the detector.
    share
        Its part of the windows.
    means
        Mean of each sensor in it, in the sensor's own units.
    """

    cluster: int
    share: float
    means: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Timeline:
    """One machine's held-out scores, for a plot.

    Attributes
    ----------
    machine_id
        Whose.
    timestamps_ms, scores
        Shape (n,) each; NaN where a window reaches over the edge of two held-out blocks.
    """

    machine_id: str
    timestamps_ms: NDArray[np.int64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """A detector and how it came about.

    Attributes
    ----------
    detector
        To score with.
    candidates
        Every k tried.
    k, silhouette
        Of the chosen clusters: Euclidean, exactly as computed on `silhouette_rows` windows. NaN
        for one cluster, whose silhouette is undefined.
    silhouette_rows
        How many windows the silhouettes were computed on.
    k_reason
        Why this k, in one sentence.
    used_rows
        Whole windows that were learnt from, of all machines.
    left_out_sensors
        Name to reason.
    period_rows
        Load cycle found; None if there is none, or if the window was given.
    window_reason
        Why the window is as long as it is, in one sentence.
    held_out_alarm_rate
        The part of all held-out windows that score above 1.0.
    held_out_blocks
        Per machine and stretch.
    profiles
        One per cluster.
    timelines
        One per machine that has windows.
    """

    detector: Detector
    candidates: tuple[Candidate, ...]
    k: int
    silhouette: float
    silhouette_rows: int
    k_reason: str
    used_rows: int
    left_out_sensors: Mapping[str, str]
    period_rows: int | None
    window_reason: str
    held_out_alarm_rate: float
    held_out_blocks: tuple[HeldOutBlock, ...]
    profiles: tuple[ClusterProfile, ...]
    timelines: tuple[Timeline, ...]


def fit(
    sensors: Sequence[str], histories: Sequence[MachineHistory], config: FitConfig | None = None
) -> Fit:
    """Learn what is normal for machines of one type.

    Parameters
    ----------
    sensors
        Names of the columns of every history's values.
    histories
        One per machine, of normal running as far as is known.
    config
        How; None for the defaults.

    Returns
    -------
    Fit
        The same for the same histories and config.

    Raises
    ------
    UnfitHistory
        Saying what the history lacks.
    ValueError
        When names repeat or a history has another number of columns.
    """
    config = config or FitConfig()
    _check(sensors, histories)
    left_out = unusable_sensors(sensors, histories)
    used = tuple(name for name in sensors if name not in left_out)
    if not used:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UnfitHistory(f"no sensor can be learnt from ({reasons})")
    columns = [position for position, name in enumerate(sensors) if name not in left_out]
    histories = [
        MachineHistory(
            history.machine_id,
            history.timestamps_ms,
            np.where(np.isfinite(history.values), history.values, np.nan)[:, columns],
        )
        for history in histories
    ]

    step_ms = median_step_ms(histories)
    window = _window(histories, config, step_ms)
    max_gap_ms = step_ms * max(config.max_gap_steps, window.rows)
    table = window_table(histories, window.rows, max_gap_ms)
    seen = table.present_sensors()
    if not seen.all():
        left_out |= {
            name: "missing in more than half of every window"
            for name, is_seen in zip(used, seen, strict=True)
            if not is_seen
        }
        used = tuple(name for name in used if name not in left_out)
        table = table.columns(seen)
    if len(table) < config.min_rows:
        raise UnfitHistory(
            f"the history has {len(table)} whole windows of {window.rows} rows without gaps; "
            f"at least {config.min_rows} are needed; send more history"
        )
    settings = ClusterSettings(
        smallest_share=config.smallest_cluster_share,
        finest=config.k_max,
        max_rows=config.max_cluster_rows,
        silhouette_sample_rows=config.silhouette_sample_rows,
        seed=config.seed,
    )
    candidates, k, sample_rows = try_every_k(table.means, config.k_min, config.k_max, settings)
    machine_ids = tuple(history.machine_id for history in histories)
    calibration = calibrate(
        table,
        machine_ids=machine_ids,
        history_rows=np.array([len(history.values) for history in histories]),
        window_rows=window.rows,
        k=k,
        blocks=config.held_out_blocks,
        false_alarm_rate=config.false_alarm_rate,
        settings=settings,
    )
    learnt = cluster(table.means, k, settings)
    detector = Detector(
        sensors=used,
        window_rows=window.rows,
        max_gap_ms=max_gap_ms,
        centre=table.centre + table.spread * learnt.centre,
        scale=table.spread * learnt.scale,
        spread=table.spread,
        clusters=learnt.clusters,
        boundary=calibration.boundary,
        unknown_score=calibration.unknown_score,
    )
    rows = (table.means - learnt.centre) / learnt.scale
    return Fit(
        detector=detector,
        candidates=candidates,
        k=k,
        silhouette=next((c.silhouette for c in candidates if c.k == k), float("nan")),
        silhouette_rows=sample_rows,
        k_reason=_k_reason(k, candidates),
        used_rows=len(table),
        left_out_sensors=left_out,
        period_rows=window.period_rows,
        window_reason=window.reason,
        held_out_alarm_rate=calibration.alarm_rate,
        held_out_blocks=calibration.blocks,
        profiles=_profiles(detector, nearest_cluster(rows, None, learnt.clusters)[1]),
        timelines=_timelines(machine_ids, table, calibration),
    )


def _check(sensors: Sequence[str], histories: Sequence[MachineHistory]) -> None:
    if len(set(sensors)) != len(sensors):
        repeated = sorted({name for name in sensors if list(sensors).count(name) > 1})
        raise ValueError(f"sensor names must be distinct; repeated: {', '.join(repeated)}")
    for history in histories:
        if history.values.shape[1] != len(sensors):
            raise ValueError(
                f"history of {history.machine_id!r} has {history.values.shape[1]} columns for "
                f"{len(sensors)} sensors"
            )
    if not any(len(history.values) for history in histories):
        raise UnfitHistory("the history has no rows")


def _window(histories: Sequence[MachineHistory], config: FitConfig, step_ms: int) -> WindowChoice:
    if config.window_rows is not None:
        return WindowChoice(config.window_rows, None, f"{config.window_rows} rows, as asked for")
    return choose_window(
        histories,
        step_ms * config.max_gap_steps,
        config.max_window_rows,
        config.default_window_rows,
    )


def _k_reason(k: int, candidates: Sequence[Candidate]) -> str:
    if k == 1:
        refusals = "; ".join(f"k={c.k}: {c.refusal}" for c in candidates)
        return (
            f"one cluster, because no more could be chosen ({refusals or 'too few distinct rows'})"
        )
    refused = sum(c.refusal is not None for c in candidates)
    return f"k={k} has the highest silhouette of {len(candidates) - refused} candidates" + (
        f"; {refused} with a tiny cluster were not considered" if refused else ""
    )


def _profiles(detector: Detector, labels: NDArray[np.int64]) -> tuple[ClusterProfile, ...]:
    sizes = np.bincount(labels, minlength=len(detector.clusters))
    means = detector.centre + detector.scale * detector.clusters
    return tuple(
        ClusterProfile(
            cluster=index,
            share=float(sizes[index] / len(labels)),
            means={
                name: float(mean) for name, mean in zip(detector.sensors, means[index], strict=True)
            },
        )
        for index in range(len(sizes))
    )


def _timelines(
    machine_ids: Sequence[str], table: WindowTable, calibration: Calibration
) -> tuple[Timeline, ...]:
    timelines = []
    for index, machine_id in enumerate(machine_ids):
        own = table.machine == index
        if own.any():
            timelines.append(
                Timeline(machine_id, table.timestamps_ms[own], calibration.scores[own])
            )
    return tuple(timelines)
