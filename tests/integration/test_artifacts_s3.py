"""MLflow keeps its files in S3 and hands them on: trainer and predictor need no key of it.

The server that speaks S3's protocol is moto's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from faultline.adapters.clock import SystemClock
from faultline.adapters.mlflow import MlflowRegistry
from faultline.errors import Unavailable
from faultline.settings import RegistrySettings
from services.predictor.bundles import Bundles
from services.predictor.shelf import BundleShelf
from tests.integration.versions import Version, detector_with, write_version

if TYPE_CHECKING:
    from tests.integration.conftest import Until

pytestmark = pytest.mark.real

_BUCKET = "faultline-models"
_NAME = "faultline-s3pump"
_KEYS = ("AWS_", "MLFLOW_")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=10).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _running(
    command: Sequence[str], url: str, log: Path, until: Until, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    # Nobody's real keys.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_KEYS)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env={**clean, **settings}, stdout=file, stderr=file
        )
        try:
            until(lambda: _answers(url), f"{command[0]}, whose log is {log}")
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def s3(tmp_path: Path, until: Until) -> Iterator[str]:
    """An S3 server with an empty bucket."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, f"{url}/moto-api/", tmp_path / "s3.log", until, {}):
        assert httpx.put(f"{url}/{_BUCKET}", trust_env=False).is_success
        yield url


@pytest.fixture
def mlflow(s3: str, tmp_path: Path, until: Until) -> Iterator[str]:
    """An MLflow server as in the image: files proxied, to where MLFLOW_ARTIFACT_ROOT says."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{_BUCKET}/versions",
        "MLFLOW_S3_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "a-test",
        "AWS_SECRET_ACCESS_KEY": "a-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with _running(
        [*command, "--serve-artifacts"], f"{url}/health", tmp_path / "mlflow.log", until, settings
    ):
        yield url


def _version(folder: Path) -> Version:
    """A version's files as the trainer logs them."""
    version = write_version(folder, "s3pump", detector_with(3.0))
    # Large enough for S3's upload in parts.
    (folder / "plots").mkdir()
    (folder / "plots" / "large.bin").write_bytes(os.urandom(20 * 1024 * 1024))
    return version


def test_a_version_kept_in_s3_is_registered_by_the_trainer_and_loaded_by_the_predictor(
    s3: str, mlflow: str, tmp_path: Path
) -> None:
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=mlflow))
    made = _version(tmp_path / "logged")
    run_id = registry.log_run(made.run)
    tags = {"bundle_sha256": made.bundle_sha256}
    version = registry.register(_NAME, run_id, tags, "A test's.").version
    registry.promote(_NAME, version)

    kept = httpx.get(f"{s3}/{_BUCKET}?list-type=2", trust_env=False).text
    assert f"versions/1/{run_id}/artifacts/model/" in kept
    assert f"versions/1/{run_id}/artifacts/plots/large.bin" in kept
    production = registry.production(_NAME)
    assert production is not None
    shelf = BundleShelf(tmp_path / "shelf")
    loaded = Bundles(registry, shelf, SystemClock()).get(production)
    assert loaded.model.detector.boundary == 3.0
    files = registry.download_artifacts(run_id, "plots", tmp_path / "back", 32 * 1024 * 1024)
    [large] = files.rglob("large.bin")
    assert large.read_bytes() == (tmp_path / "logged" / "plots" / "large.bin").read_bytes()


def test_a_bucket_that_is_not_there_is_told_as_a_registry_that_is_down(
    s3: str, mlflow: str, tmp_path: Path
) -> None:
    assert httpx.delete(f"{s3}/{_BUCKET}", trust_env=False).is_success
    made = _version(tmp_path / "logged")
    with pytest.raises(Unavailable):
        MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=mlflow)).log_run(made.run)
