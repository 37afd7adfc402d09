"""Versions made by hand: one cluster at the origin, and a boundary by which a test tells them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.detector.reference import Reference
from faultline.events import model_name
from faultline.ports.registry import TrainingRun

SENSORS = ("flow", "heat")


class Version(NamedTuple):
    """What the trainer would log of a version, and the sum that its tag has."""

    run: TrainingRun
    bundle_sha256: str

    @property
    def bundle(self) -> Path:
        return self.run.artifacts / "model"


def detector_with(boundary: float, *, window_rows: int = 3, centre: float = 0.0) -> Detector:
    """A detector of two sensors that are ordinary at `centre`."""
    return Detector(
        sensors=SENSORS,
        window_rows=window_rows,
        max_gap_ms=60_000,
        centre=np.full(2, centre),
        scale=np.ones(2),
        spread=np.ones(2),
        clusters=np.zeros((1, 2)),
        boundary=boundary,
        unknown_score=2.0,
    )


def ordinary_history(rows: int, machine_id: str = "m") -> MachineHistory:
    """Readings of a machine, one a second, around the origin."""
    values = np.random.default_rng(0).normal(size=(rows, 2))
    return MachineHistory(machine_id, 1_000 * np.arange(rows, dtype=np.int64), values)


def write_version(
    folder: Path, machine_type: str, detector: Detector, reference: Reference | None = None
) -> Version:
    """Write a version's files into a folder, as the trainer does before it logs them."""
    name = model_name(machine_type)
    total = write_bundle(
        folder / "model",
        detector,
        golden_batch(detector, ordinary_history(detector.window_rows + 20)),
        model_name=name,
        machine_type=machine_type,
        created_ms=0,
        reference=reference,
    )
    return Version(TrainingRun(name, "test", {}, [], {}, folder), total)
