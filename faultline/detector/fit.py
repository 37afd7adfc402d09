"""Fits a detector to machines' histories. Needs scikit-learn, so scoring must not import it.

It knows neither where the histories come from nor where the detector goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from faultline.detector.adaptation import AdaptationRule, step_rows_for
from faultline.detector.boundary import Calibration, HeldOutBlock, calibrate
from faultline.detector.clusters import Candidate
from faultline.detector.config import FitConfig
from faultline.detector.covariance import Metric
from faultline.detector.detector import Detector
from faultline.detector.distance import nearest_cluster
from faultline.detector.grid import median_step_ms
from faultline.detector.health import learn_limits
from faultline.detector.history import MachineHistory, UnfitHistory
from faultline.detector.holdout import distances
from faultline.detector.learning import between_machines
from faultline.detector.load_cycle import window_and_grid
from faultline.detector.outcome import (
    ClusterProfile,
    Fit,
    Timeline,
    k_reason,
    profiles_of,
    timelines_of,
)
from faultline.detector.shape import segments_of
from faultline.detector.study import least_offset, study
from faultline.detector.training import WindowTable, row_scale, window_table
from faultline.detector.usable import unusable_sensors

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

SETTLE_MOST_S = 3 * 24 * 3600
"""A lasting state is the new normal after three days: every shift has seen the alarm by then, even
over a long weekend, ..."""

SETTLE_HISTORIES = 2
"""... or after so many times the history, against which it then has the better claim, ..."""

SETTLE_LEAST_S = 3600
"""... but not within an hour, however short the history is: nobody can have seen the alarm, gone to
the machine and labelled or repaired the fault by then."""


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
    columns = np.array([name not in left_out for name in sensors])
    histories = [_columns(history, columns) for history in histories]

    step_ms = median_step_ms(histories)
    window, grid_ms = window_and_grid(histories, config, step_ms)
    max_gap_ms = step_ms * max(config.max_gap_steps, window.rows)
    table = window_table(histories, window.rows, max_gap_ms, grid_ms, shape=config.shape)
    segments = segments_of(window.rows) if config.shape else 1
    seen = np.asarray(table.present_sensors().reshape(-1, segments).all(axis=1))
    if not seen.all():
        left_out |= {
            name: "missing in more than half of every window"
            for name, is_seen in zip(used, seen, strict=True)
            if not is_seen
        }
        used = tuple(name for name in used if name not in left_out)
        table = table.columns(np.repeat(seen, segments))
        histories = [_columns(history, seen) for history in histories]
    if len(table) < config.min_rows:
        raise UnfitHistory(
            f"the history has {len(table)} whole windows of {window.rows} rows without gaps; "
            f"at least {config.min_rows} are needed; send more history"
        )
    own_baseline = _own_baselines(table, len(histories), config)
    if own_baseline.any() and not own_baseline.all():
        # What has no baseline can't teach what is normal beside those that have one.
        table = table.rows(own_baseline[table.machine])
    found = study(
        table,
        sensors=used,
        history_rows=np.array([len(history.values) for history in histories]),
        own_baseline=own_baseline,
        window_rows=window.rows,
        config=config,
    )
    table, held_out = found.table, found.held_out
    learnt = found.learnt.from_zero(found.speed > 0)
    machine_ids = tuple(history.machine_id for history in histories)

    def calibrated(*, through_covariance: bool) -> Calibration:
        distance = distances(table, held_out, window.rows, through_covariance=through_covariance)
        return calibrate(table, machine_ids, distance, held_out.block, config.false_alarm_rate)

    chosen = _choose_distance(calibrated, learnt.covariance, config)
    calibration = chosen.calibration
    row_centre, row_spread = row_scale(histories)
    detector = Detector(
        sensors=used,
        window_rows=window.rows,
        max_gap_ms=max_gap_ms,
        centre=table.centre + table.spread * learnt.centre,
        scale=table.spread * learnt.scale,
        spread=row_spread,
        change=table.spread * table.change if table.change.size else table.change,
        step_ms=grid_ms if table.change.size else 0,
        origin=row_centre if config.shape else np.zeros(0),
        clusters=learnt.clusters,
        covariance=learnt.covariance if chosen.through_covariance else np.zeros((0, 0)),
        machines=tuple(name for name, own in zip(machine_ids, own_baseline, strict=True) if own),
        baselines=learnt.offsets[own_baseline] / learnt.scale
        if own_baseline.any()
        else np.zeros((0, 0)),
        between=between_machines(learnt, own_baseline),
        speed=found.speed / learnt.scale if found.speed.any() else np.zeros(0),
        boundary=calibration.boundary,
        unknown_score=calibration.unknown_score,
        rule=_rule(histories, window.rows, config),
        limits=learn_limits(used, histories),
    )
    labels = nearest_cluster(learnt.rows(table.means, table.machine), None, learnt.clusters)[1]
    return Fit(
        detector=detector,
        candidates=found.candidates,
        k=len(learnt.clusters),
        silhouette=next(
            (c.silhouette for c in found.candidates if c.k == len(learnt.clusters)), float("nan")
        ),
        silhouette_rows=found.sample_rows,
        k_reason=k_reason(len(learnt.clusters), found.candidates),
        distance_reason=chosen.reason,
        slow_sensors=found.slow_sensors,
        used_rows=len(table),
        left_out_sensors=left_out,
        period_rows=window.period_rows,
        window_reason=window.reason,
        held_out_alarm_rate=calibration.alarm_rate,
        held_out_blocks=calibration.blocks,
        profiles=profiles_of(detector, labels),
        timelines=timelines_of(machine_ids, table, calibration),
    )


def _columns(history: MachineHistory, keep: NDArray[np.bool_]) -> MachineHistory:
    """Take the columns marked in `keep`, shape (d,); what is not finite becomes missing."""
    values = history.values[:, keep]
    return MachineHistory(
        history.machine_id,
        history.timestamps_ms,
        np.where(np.isfinite(values), values, np.nan),
    )


def _own_baselines(table: WindowTable, machines: int, config: FitConfig) -> NDArray[np.bool_]:
    """Which machines have enough windows for a baseline, shape (m,)."""
    if not config.machine_baselines:
        return np.zeros(machines, dtype=np.bool_)
    return np.bincount(table.machine, minlength=machines) >= config.min_rows


class _Calibrated(Protocol):
    def __call__(self, *, through_covariance: bool) -> Calibration: ...


class _Chosen(NamedTuple):
    calibration: Calibration
    through_covariance: bool
    reason: str


def _choose_distance(
    calibrated: _Calibrated, covariance: NDArray[np.float64], config: FitConfig
) -> _Chosen:
    """Take the distance with which a smaller offset is found at the same rate of false alarms."""
    if config.distance != "auto":
        asked = config.distance == "covariance"
        reason = f"{config.distance}, as asked for"
        return _Chosen(calibrated(through_covariance=asked), asked, reason)
    plain = calibrated(through_covariance=False)
    d = len(covariance)
    if d == 1:
        return _Chosen(plain, False, "euclidean: one sensor has no other to move together with")
    together = calibrated(through_covariance=True)
    alone = least_offset(plain.boundary, Metric(None), d)
    joint = least_offset(together.boundary, Metric(covariance), d)
    said = (
        f"at the same rate of false alarms it finds a sensor off by {min(joint, alone):.3g} "
        f"scales, the other only from {max(joint, alone):.3g}"
    )
    if joint < alone:
        return _Chosen(together, True, f"covariance: {said}")
    return _Chosen(plain, False, f"euclidean: {said}")


def _rule(
    histories: Sequence[MachineHistory], window_rows: int, config: FitConfig
) -> AdaptationRule:
    """Follow as slowly as what was learnt is old: with the length of the longest history."""
    longest = max(histories, key=lambda history: len(history.values))
    rows = len(longest.values)
    settle_s = config.settle_after_s
    if settle_s is None:
        span_ms = int(longest.timestamps_ms[-1] - longest.timestamps_ms[0])
        settle_s = min(SETTLE_MOST_S, max(SETTLE_LEAST_S, SETTLE_HISTORIES * span_ms / 1000))
    return AdaptationRule(
        step_rows=step_rows_for(window_rows, rows),
        follow_rows=rows if config.drift == "auto" else 0,
        settle_ms=round(1000 * settle_s),
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
