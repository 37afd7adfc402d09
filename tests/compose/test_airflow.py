"""Profile `airflow`: it comes up, its DAGs import, and one of them trains and promotes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faultline.client import TrainerClient
from faultline.local.ports import is_free

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, Until

pytestmark = pytest.mark.compose

_IMAGE = "apache/airflow:3.3.2"
_SERVICES = ("apiserver", "scheduler", "dag-processor", "triggerer")
_STEPS = ("database", "prepare")
_SCHEDULES = ("TRAIN", "VERIFY", "BACKTEST", "MAINTENANCE")
_DAGS = {"train_and_promote", "verify_candidates", "maintenance", "backtest_challenger"}
_ENDED = {"success", "failed"}


def _has_image() -> bool:
    here = subprocess.run(["docker", "image", "inspect", _IMAGE], capture_output=True, check=False)
    if here.returncode:
        here = subprocess.run(
            ["docker", "pull", "--quiet", _IMAGE], capture_output=True, check=False
        )
    return here.returncode == 0


@pytest.fixture(scope="module")
def airflow(containers: Containers) -> Iterator[Containers]:
    """The project with the profile, healthy; without it again afterwards."""
    if not _has_image():
        pytest.skip(f"the image {_IMAGE} is not there and cannot be pulled")
    port = next(port for port in range(32_600, 32_660) if is_free(port))
    # Only the tests start DAGs.
    schedules = {f"AIRFLOW_{name}_SCHEDULE": "none" for name in _SCHEDULES}
    services = [f"airflow-{name}" for name in (*_SERVICES, *_STEPS)]
    with containers.with_variables(AIRFLOW_PORT=str(port), **schedules) as changed:
        try:
            changed.run("--profile", "airflow", "build", "--quiet", "airflow-apiserver")
            changed.run("--profile", "airflow", "up", "--detach", "--wait")
            yield changed
        finally:
            changed.run("--profile", "airflow", "rm", "--stop", "--force", *services)


@pytest.fixture(scope="module")
def api(airflow: Containers) -> Iterator[httpx.Client]:
    """Airflow's API, logged in with what `make env` wrote."""
    who = {"username": "admin", "password": airflow.variables["AIRFLOW_ADMIN_PASSWORD"]}
    with httpx.Client(base_url=airflow.url("AIRFLOW_PORT"), timeout=60) as client:
        token = client.post("/auth/token", json=who).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_all_of_airflow_is_healthy_and_its_steps_succeeded(airflow: Containers) -> None:
    found = {one["Service"]: one for one in airflow.containers()}
    for name in _SERVICES:
        assert found[f"airflow-{name}"]["Health"] == "healthy", name
    for name in _STEPS:
        assert found[f"airflow-{name}"]["ExitCode"] == 0, name


def test_nobody_comes_in_without_the_generated_password(airflow: Containers) -> None:
    url = airflow.url("AIRFLOW_PORT")
    for password in ("admin", "airflow", ""):
        who = {"username": "admin", "password": password}
        assert httpx.post(f"{url}/auth/token", json=who).status_code in {400, 401, 422}
    assert httpx.get(f"{url}/api/v2/dags").status_code == 401


def test_no_service_runs_as_root_or_can_change_its_files(airflow: Containers) -> None:
    script = (
        "id -u; touch /opt/airflow/dags/x 2>/dev/null && echo writable; grep CapEff /proc/1/status"
    )
    for name in _SERVICES:
        told = airflow.run("exec", "-T", f"airflow-{name}", "sh", "-c", script).split()
        assert told == ["50000", "CapEff:", "0" * 16], name


def test_every_dag_is_listed_without_an_error(api: httpx.Client, until: Until) -> None:
    until(lambda: {one["dag_id"] for one in _get(api, "dags")["dags"]} == _DAGS, "all DAGs")
    assert _get(api, "importErrors")["import_errors"] == []


def test_a_dag_run_trains_and_promotes_and_is_linked_with_its_run_in_mlflow(
    airflow: Containers, api: httpx.Client, fleet: Fleet, until: Until
) -> None:
    fleet.send(900)
    fleet.wait()
    dag = "dags/train_and_promote"
    api.patch(f"/api/v2/{dag}", json={"is_paused": False}).raise_for_status()
    # Without a logical date it is asked for now; the fleet's readings are older.
    asked = {"logical_date": None, "conf": {"machine_types": [fleet.machine_type]}}
    made = api.post(f"/api/v2/{dag}/dagRuns", json=asked).raise_for_status().json()
    dag_run = f"{dag}/dagRuns/{made['dag_run_id']}"
    with TrainerClient(airflow.url("TRAINER_PORT")) as trainer:
        until(lambda: _job(airflow, fleet.machine_type) is not None, "the training")
        job_id = _job(airflow, fleet.machine_type)
        assert job_id is not None
        trainer.wait(job_id, timeout_s=180)
    until(lambda: _get(api, dag_run)["state"] in _ENDED, "the DAG run")
    tasks = {
        one["task_id"]: one["state"]
        for one in _get(api, f"{dag_run}/taskInstances")["task_instances"]
    }
    assert set(tasks.values()) == {"success"}, tasks

    airflow.wait_for_version(fleet.machine_type, "1")
    registry = f"{airflow.url('MLFLOW_PORT')}/api/2.0/mlflow/model-versions/get"
    which = {"name": f"faultline-{fleet.machine_type}", "version": "1"}
    version = httpx.get(registry, params=which).raise_for_status().json()["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert version["current_stage"] == "Production"
    assert tags["airflow.dag_run_id"] == made["dag_run_id"]
    assert tags["airflow.trigger"] == "manual by admin"
    waited = f"{dag_run}/taskInstances/one_type.wait_for_training"
    links = _get(api, f"{waited}/links", map_index=0)["extra_links"]
    assert links["MLflow run"].endswith(f"/runs/{version['run_id']}")


def _job(airflow: Containers, machine_type: str) -> str | None:
    jobs = httpx.get(f"{airflow.url('TRAINER_PORT')}/api/v1/ml/models/train").json()["jobs"]
    return next((one["job_id"] for one in jobs if one["machine_type"] == machine_type), None)


def _get(api: httpx.Client, path: str, **query: Any) -> Any:
    return api.get(f"/api/v2/{path}", params=query).raise_for_status().json()
