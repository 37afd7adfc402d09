"""Small recordings laid out as the benchmarks' data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def skab_folder(tmp_path: Path) -> Path:
    """One file in each group: 400 rows to train on, 100 healthy ones, 100 far away."""
    for seed, group in enumerate(("valve1", "valve2", "other")):
        values = np.random.default_rng(seed).normal(size=(600, 3))
        values[500:] += 40.0
        lines = ["datetime;Pressure;Current;Volume Flow RateRMS;anomaly;changepoint"]
        for row, line in enumerate(values):
            time = (START + timedelta(seconds=row)).strftime("%Y-%m-%d %H:%M:%S")
            label = "1.0" if row >= 500 else "0.0"
            lines.append(";".join([time, *(f"{value:.6f}" for value in line), label, "1.0"]))
        (tmp_path / group).mkdir()
        (tmp_path / group / "0.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def rig_folder(tmp_path: Path) -> Path:
    """A healthy history, a healthy stream, and one whose last 100 of 400 rows are a fault."""
    for seed, (name, rows, healthy) in enumerate(
        (("healthy", 800, 800), ("rig-1-pump", 400, 300), ("rig-2-healthy", 300, 300))
    ):
        values = np.random.default_rng(seed).normal(size=(rows, 3))
        if healthy < rows:
            values[healthy - 20 : healthy] *= 0.1  # no row before the fault counts for its alarm
        values[healthy:, 1] += 40.0
        lines = ["timestamp,flow_1,flow_2,vibration,fault"]
        for row, line in enumerate(values):
            time = (START + timedelta(seconds=row)).strftime("%Y-%m-%dT%H:%M:%SZ")
            label = "leak" if row >= healthy else ""
            lines.append(",".join([time, *(f"{value:.6f}" for value in line), label]))
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path
