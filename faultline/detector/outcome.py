"""What a fit came to: a detector, and how it came about. It must not know how one is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector.boundary import Calibration, HeldOutBlock
from faultline.detector.clusters import Candidate
from faultline.detector.detector import Detector
from faultline.detector.training import WindowTable


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
        Mean of each sensor in it, in the sensor's own units; in the shape view, of each stretch.
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
    distance_reason
        Which distance it measures by, and why, in one sentence.
    slow_sensors
        Name to reason: those judged by how they jump and not by where they are.
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
    distance_reason: str
    slow_sensors: Mapping[str, str]
    used_rows: int
    left_out_sensors: Mapping[str, str]
    period_rows: int | None
    window_reason: str
    held_out_alarm_rate: float
    held_out_blocks: tuple[HeldOutBlock, ...]
    profiles: tuple[ClusterProfile, ...]
    timelines: tuple[Timeline, ...]


def k_reason(k: int, candidates: Sequence[Candidate]) -> str:
    """Say why there are k clusters, in one sentence."""
    if not candidates:
        return "one cluster, because too few rows are distinct for more"
    if k == 1:
        best = max(candidates, key=lambda candidate: np.nan_to_num(candidate.silhouette, nan=-1.0))
        return (
            f"one cluster, because no more could be chosen (of {len(candidates)} candidates the "
            f"one with the highest silhouette is k={best.k}: {best.refusal})"
        )
    passed = sum(candidate.refusal is None for candidate in candidates)
    return (
        f"k={k} has the highest silhouette of the {passed} of {len(candidates)} candidates that "
        "have no tiny cluster and whose clusters are separated and stable"
    )


def profiles_of(detector: Detector, labels: NDArray[np.int64]) -> tuple[ClusterProfile, ...]:
    """Say what each cluster looks like; `labels`, shape (n,), is that of each window."""
    sizes = np.bincount(labels, minlength=len(detector.clusters))
    means = detector.centre + detector.scale * detector.clusters
    return tuple(
        ClusterProfile(
            cluster=index,
            share=float(sizes[index] / len(labels)),
            means={
                name: float(mean) for name, mean in zip(detector.columns, means[index], strict=True)
            },
        )
        for index in range(len(sizes))
    )


def timelines_of(
    machine_ids: Sequence[str], table: WindowTable, calibration: Calibration
) -> tuple[Timeline, ...]:
    """Take the held-out scores apart by machine."""
    timelines = []
    for index, machine_id in enumerate(machine_ids):
        own = table.machine == index
        if own.any():
            timelines.append(
                Timeline(machine_id, table.timestamps_ms[own], calibration.scores[own])
            )
    return tuple(timelines)
