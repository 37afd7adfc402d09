"""Versions of one model, registered as the trainer would, each differing in all that it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np

from faultline.bundle import golden_batch, read_bundle, write_bundle
from faultline.client import TrainerClient
from faultline.detector import Detector, MachineHistory
from faultline.errors import Conflict, Unavailable
from faultline.events import model_name
from faultline.judge import Model
from faultline.ports.registry import ModelRegistry, TrainingRun
from tests.history.processes import until

_WINDOW_ROWS = 3


class Versions:
    """One machine type's versions.

    Attributes
    ----------
    models
        By name and version, as they are judged by.
    live
        The one that was promoted last.
    """

    def __init__(self, registry: ModelRegistry, machine_type: str, folder: Path) -> None:
        self.name = model_name(machine_type)
        self.models: dict[tuple[str, str], Model] = {}
        self.live = ""
        self._registry = registry
        self._machine_type = machine_type
        self._folder = folder
        self._waiting: list[str] = []

    def register(self) -> None:
        """Have one more to promote."""
        number = len(self.models)
        detector = Detector(
            sensors=("flow", "heat"),
            window_rows=_WINDOW_ROWS,
            max_gap_ms=60_000,
            centre=np.full(2, number / 100),
            scale=np.ones(2),
            spread=np.ones(2),
            clusters=np.zeros((1, 2)),
            boundary=2.0 + number / 10,
            unknown_score=2.0,
        )
        count = _WINDOW_ROWS + 20
        rows = np.random.default_rng(0).normal(size=(count, 2))
        times = 1_000 * np.arange(count, dtype=np.int64)
        golden = golden_batch(detector, MachineHistory("golden", times, rows))
        artifacts = self._folder / f"version-{number}"
        bundle = artifacts / "model"
        bundle_sum = write_bundle(
            bundle,
            detector,
            golden,
            model_name=self.name,
            machine_type=self._machine_type,
            created_ms=0,
        )
        run_id = self._registry.log_run(TrainingRun(self.name, "history", {}, [], {}, artifacts))
        tags = {"bundle_sha256": bundle_sum, "gate": "passed"}
        version = self._registry.register(self.name, run_id, tags, "A test's.").version
        self.models[self.name, version] = Model(self.name, version, read_bundle(bundle).detector)
        self._waiting.append(version)

    def promote(self, trainer: TrainerClient) -> None:
        """Promote the next one; asks again until the trainer has done it."""
        if not self._waiting:
            self.register()
        version = self._waiting.pop(0)
        until(lambda: self._asked(trainer, version), f"version {version} in Production")
        self.live = version

    @contextmanager
    def promoting(self, trainer: TrainerClient) -> Iterator[None]:
        """The same, during the block."""
        thread = Thread(target=self.promote, args=(trainer,))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _asked(self, trainer: TrainerClient, version: str) -> bool:
        try:
            trainer.promote(self.name, version, reason="the next")
        except (Unavailable, Conflict):
            # Nobody answers, or what a trainer that was killed had begun is being completed.
            return False
        return True
