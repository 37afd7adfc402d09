"""Says which failures are those of a sick sensor and not of the machine. NumPy only.

It knows sensors' health and places among clusters; it must not know how either was found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.detector.frame import Frame
from faultline.detector.health import Health, HealthLimits
from faultline.detector.placing import Placed
from faultline.detector.smoothing import windowed_sums


def sick_sensors(
    health: Health,
    limits: HealthLimits,
    before: NDArray[np.float64],
    window_rows: int,
    rows: NDArray[np.int64],
    *,
    is_sound: bool,
) -> NDArray[np.bool_]:
    """Which sensors are stuck, or out of range anywhere in the window that a row is judged by.

    Parameters
    ----------
    health
        Of n rows.
    limits
        Of the sensors.
    before
        Shape (m, d): the raw rows before those.
    window_rows
        Length of a window.
    rows
        Shape (r,): which rows to look at.
    is_sound
        Whether it is known already that no value of their windows is out of its range.

    Returns
    -------
    ndarray
        Shape (r, d), bool.
    """
    stuck = health.stuck[rows]
    if is_sound:
        return stuck
    reach = before[max(0, len(before) - window_rows + 1) :]
    beyond = np.isfinite(reach) & ((reach < limits.low) | (reach > limits.high))
    if not (beyond.any() or health.out_of_range.any()):
        return stuck
    lead = np.zeros((window_rows - 1 - len(reach), beyond.shape[1]), dtype=np.bool_)
    every = np.concatenate((lead, beyond, health.out_of_range)).astype(np.float64)
    return np.asarray(stuck | (windowed_sums(every, window_rows)[rows] > 0))


def ordinary_without(
    frame: Frame,
    placed: Placed,
    rows: NDArray[np.int64],
    sick: NDArray[np.bool_],
    *,
    means: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
) -> NDArray[np.int64]:
    """Which of some rows would be within the boundary but for the sensors that are sick.

    Parameters
    ----------
    frame, placed
        Where the clusters are, and where all rows were placed.
    rows
        Shape (r,): the rows to look at.
    sick
        Shape (r, d), bool: their sick columns.
    means, widened
        Shape (n, d): of all rows, as they were placed.

    Returns
    -------
    ndarray
        Those of `rows`.
    """
    if not sick.any():
        return rows[:0]
    can_be = sick.any(axis=1) & (~np.isnan(means[rows]) & ~sick).any(axis=1)
    rows, sick = rows[can_be], sick[can_be]
    if not len(rows):
        return rows
    rest = np.where(sick, np.nan, means[rows])
    distance, _ = frame.metric.nearest(
        rest - placed.shifts[placed.shift_of[rows]],
        None if widened is None else widened[rows],
        frame.clusters,
    )
    return rows[distance <= frame.boundary]
