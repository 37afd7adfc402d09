"""Faults with a known start and end, and what they do to a pump's readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from faultline.labels import FaultLabel
from faultline.sources.noise import FloatArray
from faultline.sources.pump import SENSOR_NAMES, SENSORS


class FaultKind(StrEnum):
    """What can go wrong. The first three are the pump's, the others are one sensor's."""

    LEAK = "leak"
    BEARING_WEAR = "bearing_wear"
    CLOGGED_FILTER = "clogged_filter"
    STUCK_SENSOR = "stuck_sensor"
    OFFSET = "offset"
    DRIFT = "drift"
    SPIKE = "spike"
    NOISE = "noise"
    DROPOUT = "dropout"


# Relative change of each sensor at severity 1, the clearest first.
PHYSICAL: Mapping[FaultKind, Mapping[str, float]] = {
    FaultKind.LEAK: {"efficiency": -0.14, "flow": -0.12, "pressure_out": -0.05},
    FaultKind.BEARING_WEAR: {
        "vibration": 0.60,
        "bearing_temperature": 0.18,
        "motor_current": 0.02,
        "efficiency": -0.02,
    },
    FaultKind.CLOGGED_FILTER: {
        "pressure_in": -0.16,
        "efficiency": -0.08,
        "motor_current": 0.07,
        "flow": -0.03,
        "vibration": 0.10,
    },
}

# The share of a fault's time in which it grows to its full size; the others are there at once.
_RAMP: Mapping[FaultKind, float] = {
    FaultKind.LEAK: 0.15,
    FaultKind.BEARING_WEAR: 0.4,
    FaultKind.CLOGGED_FILTER: 0.25,
    FaultKind.DRIFT: 1.0,
}

# They leave the mean of a load cycle as it is, or take the values away: to see them is more than
# can be asked of a detector that smooths over the cycle and masks what is missing.
_ALWAYS_HARD = frozenset({FaultKind.SPIKE, FaultKind.NOISE, FaultKind.DROPOUT})
# Fainter than this a fault is about as large as what healthy pumps do by themselves.
_CLEAR_SEVERITY = 0.5
# A drift spends most of its time small; it ends as far off as this many offsets.
_DRIFT_STEPS = 2.0
_SPIKE_SHARE = 0.03
_SPIKE_FACTOR = 40.0
_NOISE_FACTOR = 8.0


@dataclass(frozen=True)
class Fault:
    """A fault of one machine: the truth that alarms are measured against.

    Attributes
    ----------
    sensors
        Those that show it, the clearest first; exactly one for a sensor's fault.
    start_ms, end_ms
        Milliseconds since the epoch, end excluded.
    severity
        Above 0, up to 1: 1 is clear without being absurd.
    direction
        Up (1) or down (-1), for offset and drift.
    hard
        A detector need not find it.
    """

    machine_id: str
    kind: FaultKind
    sensors: tuple[str, ...]
    start_ms: int
    end_ms: int
    severity: float = 1.0
    direction: int = 1
    hard: bool = False

    def __post_init__(self) -> None:
        if self.start_ms >= self.end_ms:
            raise ValueError(
                f"{self.kind} on {self.machine_id}: its end ({self.end_ms}) must be after its "
                f"start ({self.start_ms})"
            )
        if not 0 < self.severity <= 1:
            raise ValueError(
                f"{self.kind} on {self.machine_id}: severity {self.severity} must be above 0 and "
                "at most 1"
            )
        if self.direction not in {-1, 1}:
            raise ValueError(
                f"{self.kind} on {self.machine_id}: direction {self.direction} must be 1 or -1"
            )
        if self.kind not in PHYSICAL and not (
            len(self.sensors) == 1 and self.sensors[0] in SENSOR_NAMES
        ):
            raise ValueError(
                f"{self.kind} on {self.machine_id}: it needs one sensor of "
                f"{', '.join(SENSOR_NAMES)}; given {self.sensors}"
            )

    @property
    def label(self) -> FaultLabel:
        """What goes to the topic of labels."""
        return FaultLabel(
            machine_id=self.machine_id,
            kind=self.kind.value,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            sensors=self.sensors,
            severity=self.severity,
        )


def is_hard(kind: FaultKind, severity: float) -> bool:
    """Whether a fault of this kind and severity is one that a detector need not find."""
    return kind in _ALWAYS_HARD or severity < _CLEAR_SEVERITY


def apply(
    fault: Fault,
    values: FloatArray,
    timestamps_ms: NDArray[np.int64],
    frozen: float,
    noise: FloatArray,
) -> None:
    """Change readings in place as the fault does.

    Parameters
    ----------
    values
        Shape (n, sensors), columns as `SENSORS`; rows outside the fault stay as they are.
    timestamps_ms
        Shape (n,).
    frozen
        The value that a stuck sensor shows.
    noise
        Shape (n, 2): for each row a standard normal and a uniform (0 to 1) value.
    """
    hit = (timestamps_ms >= fault.start_ms) & (timestamps_ms < fault.end_ms)
    if not hit.any():
        return
    size = fault.severity * _ramp(fault, timestamps_ms[hit])
    if fault.kind in PHYSICAL:
        for name, change in PHYSICAL[fault.kind].items():
            values[hit, SENSOR_NAMES.index(name)] *= 1.0 + change * size
        return
    column = SENSOR_NAMES.index(fault.sensors[0])
    sensor = SENSORS[column]
    shown = values[hit, column]
    normal, uniform = noise[hit].T
    match fault.kind:
        case FaultKind.STUCK_SENSOR:
            shown[:] = frozen
        case FaultKind.OFFSET:
            shown += fault.direction * size * sensor.step
        case FaultKind.DRIFT:
            shown += fault.direction * size * _DRIFT_STEPS * sensor.step
        case FaultKind.SPIKE:
            shown += (
                (uniform < _SPIKE_SHARE) * np.sign(normal) * size * _SPIKE_FACTOR * sensor.noise
            )
        case FaultKind.NOISE:
            shown += normal * size * _NOISE_FACTOR * sensor.noise
        case FaultKind.DROPOUT:
            shown[uniform < size] = np.nan
    values[hit, column] = shown


def _ramp(fault: Fault, timestamps_ms: NDArray[np.int64]) -> FloatArray:
    """How far the fault has grown, 0 to 1."""
    ramp_ms = _RAMP.get(fault.kind, 0.0) * (fault.end_ms - fault.start_ms)
    since_ms = (timestamps_ms - fault.start_ms).astype(np.float64)
    if ramp_ms == 0:
        return np.ones_like(since_ms)
    return np.minimum(since_ms / ramp_ms, 1.0)
