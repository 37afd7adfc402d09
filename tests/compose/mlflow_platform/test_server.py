"""Server, model server, backup, upgrade and cleaning up, without accounts."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from faultline.adapters.mlflow import MlflowRegistry
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import MachineHistory
from faultline.detector.fit import fit
from faultline.ports.registry import ScoringForm, TrainingRun
from faultline.settings import RegistrySettings

from .conftest import Platform, get

NAME = "faultline-pump"
SENSORS = ("pressure", "vibration")
STEP_MS = 1_000


@pytest.fixture(scope="module")
def detector_run(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A detector, registered from this host and in Production; the run's id."""
    folder = tmp_path_factory.mktemp("artifacts")
    random = np.random.default_rng(1)
    rows = np.repeat(random.integers(0, 2, 20), 20)[:, None] * 3.0 + random.normal(0, 0.1, (400, 2))
    history = MachineHistory("pump-1", 1_795_000_000_000 + STEP_MS * np.arange(400), rows)
    detector = fit(SENSORS, [history]).detector
    total = write_bundle(
        folder / "model",
        detector,
        golden_batch(detector, history),
        model_name=NAME,
        machine_type="pump",
        created_ms=0,
        step_ms=STEP_MS,
    )
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.uri))
    form = ScoringForm(SENSORS, STEP_MS)
    run_id = registry.log_run(TrainingRun(NAME, "test", {}, [], {}, folder, scoring=form))
    version = registry.register(NAME, run_id, {"bundle_sha256": total, "gate": "passed"}, "")
    registry.promote(NAME, version.version)
    return run_id


def test_it_is_well(platform: Platform) -> None:
    lines = platform.script("health-check").stdout.splitlines()
    assert [line[:4] for line in lines] == ["ok  "] * 4


def test_the_server_is_an_ordinary_user_on_a_read_only_system(platform: Platform) -> None:
    assert platform.compose("exec", "-T", "mlflow", "id", "-u").stdout.strip() == "50000"
    assert platform.compose("exec", "-T", "mlflow", "touch", "/opt/x", works=False).returncode != 0


def test_a_host_that_is_not_allowed_is_refused(platform: Platform) -> None:
    url = f"{platform.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert get(url).status_code == 200
    assert get(url, headers={"host": "elsewhere.example"}).status_code == 403


def test_the_registered_detector_is_served(platform: Platform, detector_run: str) -> None:
    platform.script("serve-model", NAME, "production")
    rows = [{"pressure": 0.0, "vibration": 0.0} for _ in range(30)]
    rows += [{"pressure": 0.0, "vibration": 40.0} for _ in range(30)]
    answer = httpx.post(
        f"{platform.served}/invocations",
        json={"dataframe_records": rows},
        trust_env=False,
        timeout=60,
    )
    verdicts = answer.raise_for_status().json()["predictions"]
    assert len(verdicts) == 60
    assert verdicts[-1]["status"] == "failure"
    assert verdicts[-1]["top_sensor"] == "vibration"
    platform.compose("--profile", "serving", "rm", "--stop", "--force", "serving")


def test_a_backup_is_restored_into_another_platform(
    platform: Platform, detector_run: str, tmp_path: Path
) -> None:
    archive = platform.script("backup", tmp_path / "kept").stdout.strip()
    refused = platform.script("restore", archive, works=False)
    assert refused.returncode == 1
    assert "this platform is not empty" in refused.stderr
    other = Platform(tmp_path)
    try:
        # A server that has made its tables is still an empty platform.
        other.script("start")
        assert "restored and verified" in other.script("restore", archive).stderr
        registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=other.uri))
        production = registry.production(NAME)
        assert production is not None
        assert production.run_id == detector_run
        path = f"{platform.uri}/api/2.0/mlflow/artifacts/list?run_id={detector_run}&path=model"
        there = path.replace(platform.uri, other.uri)
        assert get(there).json()["files"] == get(path).json()["files"]
    finally:
        other.remove()


def test_an_upgrade_is_a_step_of_its_own(platform: Platform) -> None:
    done = platform.script("upgrade")
    assert "schema " in done.stdout
    done = platform.compose("--profile", "upgrade", "run", "--rm", "-T", "upgrade")
    assert "schema " in done.stdout
    assert get(f"{platform.uri}/health").text == "OK"


def test_a_server_does_not_start_on_tables_of_another_version(platform: Platform) -> None:
    query = "psql -U mlflow -d mlflow -Atc"
    psql = ("exec", "-T", "postgres", *query.split())
    now = platform.compose(*psql, "SELECT version_num FROM alembic_version").stdout.strip()
    platform.compose(*psql, "UPDATE alembic_version SET version_num = 'older'")
    try:
        done = platform.compose("run", "--rm", "--no-deps", "-T", "mlflow", works=False)
        assert done.returncode == 1
        assert "the database's tables are of revision older" in done.stderr
    finally:
        platform.compose(*psql, f"UPDATE alembic_version SET version_num = '{now}'")


def test_a_version_outlives_the_cleaning_up(platform: Platform, detector_run: str) -> None:
    options = ("--older-than", "0", "--trash-days", "0")
    assert detector_run not in platform.script("cleanup", *options).stdout
    platform.script("cleanup", *options, "--apply")
    platform.script("cleanup", *options, "--apply")
    url = f"{platform.uri}/api/2.0/mlflow/artifacts/list?run_id={detector_run}&path=model"
    assert get(url).raise_for_status().json()["files"]


def test_a_database_that_is_down_is_named(platform: Platform) -> None:
    platform.compose("stop", "postgres")
    try:
        done = platform.script("health-check", works=False)
        assert done.returncode == 1
        assert "FAIL  database" in done.stdout
    finally:
        platform.compose("start", "postgres")
