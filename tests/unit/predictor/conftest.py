"""Small detectors, registered as the trainer would, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from faultline.adapters.memory.registry import MemoryRegistry
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.events import model_name
from faultline.ports.registry import ModelRegistry, ModelVersion, TrainingRun

SENSORS = ("flow", "heat")

MakeDetector = Callable[..., Detector]
Register = Callable[..., ModelVersion]


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ms(self) -> int:
        return 1_800_000_000_000 + int(self.seconds * 1_000)

    def monotonic_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def small_detector(boundary: float = 2.0, window_rows: int = 3) -> Detector:
    return Detector(
        sensors=SENSORS,
        window_rows=window_rows,
        max_gap_ms=60_000,
        centre=np.zeros(2),
        scale=np.ones(2),
        spread=np.ones(2),
        clusters=np.array([[0.0, 0.0], [4.0, 4.0]]),
        boundary=boundary,
        unknown_score=2.0,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def make_detector() -> MakeDetector:
    return small_detector


@pytest.fixture
def registry(clock: FakeClock) -> MemoryRegistry:
    return MemoryRegistry(clock)


@pytest.fixture
def register(registry: MemoryRegistry, tmp_path: Path) -> Register:
    """Registers a version and, unless told otherwise, promotes it."""

    def run(
        detector: Detector | None = None,
        machine_type: str = "pump",
        *,
        promote: bool = True,
        bundle_type: str | None = None,
        damage: Callable[[Path], None] | None = None,
        bundle_sum: str | None = None,
        into: ModelRegistry = registry,
    ) -> ModelVersion:
        """`bundle_type` and `bundle_sum` differ from the truth in tests of what is refused."""
        used = detector or small_detector()
        name = model_name(machine_type)
        artifacts = tmp_path / "artifacts" / f"{name}-{used.boundary}-{bundle_type}"
        rows = np.random.default_rng(0).normal(size=(20, 2))
        history = MachineHistory("pump-1", 1_000 * np.arange(20, dtype=np.int64), rows)
        written = write_bundle(
            artifacts / "model",
            used,
            golden_batch(used, history),
            model_name=name,
            machine_type=bundle_type or machine_type,
            created_ms=0,
        )
        if damage is not None:
            damage(artifacts / "model")
        run_id = into.log_run(
            TrainingRun(
                experiment=name,
                name="training",
                params={},
                metrics=[],
                tags={},
                artifacts=artifacts,
            )
        )
        version = into.register(name, run_id, {"bundle_sha256": bundle_sum or written}, "A pump.")
        if promote:
            into.promote(name, version.version)
        return into.version(name, version.version)

    return run
