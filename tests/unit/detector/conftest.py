"""Synthetic pumps with a repeating load cycle, and a detector fitted to them once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.detector.fit import Fit, fit

SENSORS = ("pressure", "flow", "efficiency", "vibration", "heat", "current")
STEP_MS = 1_000
CYCLE_ROWS = 40

Rows = NDArray[np.float64]
MakeRows = Callable[..., Rows]
MakeHistory = Callable[..., MachineHistory]


def pump_rows(seed: int, rows: int = 1_500) -> Rows:
    """Six sensors that follow one load, with noise far smaller than the load's swing."""
    rng = np.random.default_rng(seed)
    phase = rng.integers(CYCLE_ROWS)
    load = np.clip(np.sin(2 * np.pi * (np.arange(rows) + phase) / CYCLE_ROWS), -0.5, 0.8)
    swing = np.array([2.0, 5.0, -8.0, 0.5, 4.0, 10.0])
    noise = np.array([0.1, 0.2, 0.5, 0.05, 0.2, 0.3])
    level = np.array([4.0, 10.0, 60.0, 1.0, 40.0, 20.0])
    values: Rows = level + load[:, np.newaxis] * swing + rng.normal(size=(rows, 6)) * noise
    return values


def pump_history(machine_id: str, seed: int, rows: int = 1_500) -> MachineHistory:
    return MachineHistory(machine_id, times(rows), pump_rows(seed, rows))


def times(rows: int, start: int = 0) -> NDArray[np.int64]:
    return STEP_MS * np.arange(start, start + rows, dtype=np.int64)


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    return pump_rows


@pytest.fixture(scope="session")
def make_history() -> MakeHistory:
    return pump_history


@pytest.fixture(scope="session")
def sensors() -> tuple[str, ...]:
    return SENSORS


@pytest.fixture(scope="session")
def fitted() -> Fit:
    return fit(SENSORS, [pump_history(f"pump-{seed}", seed) for seed in (1, 2, 3)])
