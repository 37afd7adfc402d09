"""Both registries, the one in memory and MLflow, and what the tests do with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.ports.registry import Metric, ModelRegistry, ModelVersion, TrainingRun
from faultline.settings import RegistrySettings


@dataclass(frozen=True)
class Rig:
    """A registry, and what is logged there for the model of one test."""

    registry: ModelRegistry
    name: str
    artifacts: Path
    tags: Mapping[str, str]

    def log(self, experiment: str = "faultline-contract", **more: Any) -> str:
        run = TrainingRun(
            experiment=experiment,
            name="a run",
            params={f"p{number}": str(number) for number in range(130)},
            metrics=[Metric("silhouette", 0.5 + k / 100, k) for k in range(2, 9)],
            tags={"job_id": "j1"},
            artifacts=self.artifacts,
            **more,
        )
        return self.registry.log_run(run)

    def register(self) -> ModelVersion:
        return self.registry.register(self.name, self.log(), self.tags, "What it is.")

    def stages(self) -> dict[str, str]:
        return {one.version: str(one.stage) for one in self.registry.versions(self.name)}


@pytest.fixture
def mlflow_registry(request: pytest.FixtureRequest) -> ModelRegistry:
    """On the session's server."""
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    url = request.getfixturevalue("platform").mlflow
    return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=url, mlflow_timeout_s=20.0))


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.real)])
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    """Both kinds."""
    if request.param == "memory":
        return MemoryRegistry(SystemClock())
    made: ModelRegistry = request.getfixturevalue("mlflow_registry")
    return made


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """MLflow's own, on the session's server."""
    import mlflow  # noqa: PLC0415 - takes seconds

    url = request.getfixturevalue("platform").mlflow
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    yield mlflow.MlflowClient(url, url)
    mlflow.set_tracking_uri(before)


@pytest.fixture
def name() -> str:
    """Of a model that nobody else has."""
    return f"faultline-t{uuid4().hex[:12]}"


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """A run's folder, with a bundle."""
    folder = tmp_path / "artifacts"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "manifest.json").write_text("{}")
    (folder / "model" / "arrays.npz").write_bytes(bytes(range(256)))
    (folder / "gate.json").write_text("{}")
    return folder


@pytest.fixture
def rig(registry: ModelRegistry, name: str, artifacts: Path) -> Rig:
    """What a test needs to register something."""
    tags = {"silhouette": "0.61", "gate": "passed", "reason": "größer als verlangt"}
    return Rig(registry, name, artifacts, tags)
