"""The detector on a real hydraulic rig; skipped where its CSV files are not."""

from __future__ import annotations

import csv
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory, Window
from faultline.detector.fit import Fit, fit

RIG = Path(os.environ.get("FAULTLINE_DATA", "../shared/data")) / "hydraulic"

pytestmark = pytest.mark.skipif(not RIG.is_dir(), reason="the rig's data is not here")

Rows = tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64], NDArray[np.str_]]


def read(name: str) -> Rows:
    with (RIG / name).open(newline="") as file:
        header, *lines = list(csv.reader(file))
    seconds = [datetime.fromisoformat(line[0]).timestamp() for line in lines]
    values = np.array([line[1:-1] for line in lines], dtype=np.float64)
    timestamps = (1_000 * np.array(seconds)).astype(np.int64)
    return tuple(header[1:-1]), timestamps, values, np.array([line[-1] for line in lines])


def high(rig: Fit, name: str) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """Whether each scored row lies above the boundary, and what was wrong with the rig."""
    sensors, timestamps, values, fault = read(name)
    scores, _ = rig.detector.score(Window.empty(sensors), timestamps, values)
    scored = np.isfinite(scores.score)
    return scores.score[scored] > 1, fault[scored]


@pytest.fixture(scope="module")
def rig() -> Fit:
    sensors, timestamps, values, _ = read("healthy.csv")
    return fit(sensors, [MachineHistory("rig", timestamps, values)])


def test_the_window_is_the_rigs_load_cycle_of_sixty_seconds(rig: Fit) -> None:
    assert rig.detector.window_rows == 60


@pytest.mark.parametrize(
    "name", ["rig-1-cooler.csv", "rig-2-pump.csv", "rig-3-valve.csv", "rig-4-healthy.csv"]
)
def test_the_healthy_rig_is_quiet(rig: Fit, name: str) -> None:
    is_high, fault = high(rig, name)

    assert is_high[fault == ""].mean() < 0.01


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("rig-1-cooler.csv", "cooler_reduced"),
        ("rig-1-cooler.csv", "cooler_failing"),
        ("rig-2-pump.csv", "pump_leak_weak"),
        ("rig-2-pump.csv", "pump_leak_severe"),
    ],
)
def test_a_fault_of_cooler_or_pump_is_found(rig: Fit, name: str, fault: str) -> None:
    is_high, faults = high(rig, name)

    assert is_high[faults == fault].mean() > 0.9
