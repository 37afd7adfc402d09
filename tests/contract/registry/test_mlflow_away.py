"""MLflow's adapter where the server does not answer, and where its full package is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from faultline.errors import Unavailable
from faultline.settings import RegistrySettings


def test_a_registry_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    settings = RegistrySettings(MLFLOW_TRACKING_URI="http://127.0.0.1:9", mlflow_timeout_s=2.0)
    registry = MlflowRegistry(settings)
    with pytest.raises(Unavailable, match="MLflow could not list the models"):
        registry.models()
    with pytest.raises(Unavailable):
        registry.production("faultline-pump")
    with pytest.raises(Unavailable):
        registry.download("faultline-pump", "1", tmp_path)


_WITHOUT_HEAVY_PACKAGES = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pandas", "scipy", "sklearn", "flask", "pyarrow"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from faultline.adapters.mlflow import MlflowRegistry
from faultline.errors import Unavailable
from faultline.settings import RegistrySettings

registry = MlflowRegistry(RegistrySettings(mlflow_tracking_uri="http://127.0.0.1:9"))
try:
    registry.models()
except Unavailable:
    sys.exit(0)
sys.exit(1)
"""


def test_the_light_client_is_enough() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_HEAVY_PACKAGES], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
