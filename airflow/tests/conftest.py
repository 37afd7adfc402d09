"""Airflow on a database of its own, beside a stack of Faultline's that `faultline up` starts.

`faultline` is another environment's command; nothing of Faultline is imported here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

ROOT = Path(__file__).parents[2]
FAULTLINE = os.environ.get("FAULTLINE_COMMAND", str(ROOT / ".venv/bin/faultline"))
# Predictor, gateway, trainer, recorder, MLflow, Kafka twice, PostgreSQL.
_PORTS = 8
# The same readings in every run, with two clear clusters.
_HISTORY = ("--machines", "3", "--history", "1h", "--start", "2026-01-01T00:00:00Z")

RunDag = Callable[..., "DagRun"]

_cleanup = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    # Before anything imports Airflow, which reads all this then.
    home = Path(_cleanup.enter_context(TemporaryDirectory(prefix="airflow-test-")))
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow/dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow/plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__API__BASE_URL": "http://airflow.test",
    }
    sys.path.insert(0, str(ROOT / "airflow/plugins"))


def pytest_unconfigure(config: pytest.Config) -> None:
    _cleanup.close()


def _free_ports() -> int:
    """The first of so many free ports in a row."""
    for first in range(21_000, 30_000, _PORTS):
        with ExitStack() as held:
            try:
                for port in range(first, first + _PORTS):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    pytest.fail("no free ports")


class Faultline:
    """A running stack."""

    def __init__(self, home: Path, first_port: int) -> None:
        self._home = home
        self.url = {
            name: f"http://127.0.0.1:{first_port + place}"
            for place, name in enumerate(("predictor", "gateway", "trainer", "recorder", "mlflow"))
        }

    def run(self, *arguments: str) -> str:
        command = [FAULTLINE, *arguments, "--home", str(self._home)]
        settings = {"FAULTLINE_TRAINER_ON_DRIFT": "false"}
        done = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done.stdout

    def history(self, machine_type: str) -> None:
        """Healthy readings of three machines, stored."""
        rest = ("--duration", "1s", "--speed", "max", "--fault-rate", "0", "--json")
        before = self._stored()
        told = self.run("simulate", "--machine-type", machine_type, *_HISTORY, *rest)
        sent = json.loads(told)["sent"]
        while self._stored() < before + sent:
            pass

    def _stored(self) -> float:
        metrics = httpx.get(f"{self.url['recorder']}/metrics").text.splitlines()
        stored = 'faultline_recorder_readings_total{outcome="stored"} '
        return next(float(line.split()[-1]) for line in metrics if line.startswith(stored))

    def trainer(self, method: str, path: str, **request: Any) -> Any:
        url = f"{self.url['trainer']}/api/v1/ml/models/{path}"
        return httpx.request(method, url, timeout=60, **request).raise_for_status().json()

    def mlflow(self, path: str, **query: Any) -> Any:
        url = f"{self.url['mlflow']}/api/2.0/mlflow/{path}"
        return httpx.get(url, params=query, timeout=60).raise_for_status().json()

    def versions(self, machine_type: str) -> dict[str, Any]:
        """By number."""
        found = self.trainer("GET", f"faultline-{machine_type}/versions")["versions"]
        return {one["version"]: one for one in found}

    def run_tags(self, run_id: str) -> dict[str, str]:
        run = self.mlflow("runs/get", run_id=run_id)["run"]
        return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's own tables."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def faultline() -> Iterator[Faultline]:
    """All of Faultline on this machine, without readings."""
    if not Path(FAULTLINE).exists():
        pytest.fail(f"{FAULTLINE} is not there: `make setup` makes it")
    # Not in pytest's own folder: as root PostgreSQL runs under another account, which may not
    # enter that.
    with TemporaryDirectory(prefix="faultline-test-") as folder:
        first_port = _free_ports()
        stack = Faultline(Path(folder) / "home", first_port)
        try:
            stack.run("up", "--detach", "--port-base", str(first_port))
            for name, url in stack.url.items():
                os.environ[f"AIRFLOW_CONN_FAULTLINE_{name.upper()}"] = url
            yield stack
        finally:
            stack.run("down")


@pytest.fixture(scope="session")
def run_dag(faultline: Faultline, airflow_database: None) -> RunDag:
    """`airflow dags test`, in this process; returns the DAG run."""
    from airflow.cli.cli_parser import get_parser
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def run(dag_id: str, at: datetime | None = None, **params: Any) -> DagRun:
        at = at or datetime.now(UTC)
        given = ["dags", "test", dag_id, at.isoformat(), "--conf", json.dumps(params)]
        arguments = get_parser().parse_args(given)
        try:
            arguments.func(arguments)
        except SystemExit as end:
            assert "failed" in str(end.code), end.code
        with create_session() as session:
            found = session.scalars(
                select(DagRun).where(DagRun.dag_id == dag_id, DagRun.logical_date == at)
            ).one()
            session.expunge(found)
            return found

    return run


@pytest.fixture
def xcoms() -> Callable[[DagRun, str], list[Any]]:
    """What a task of a DAG run has returned, or left under a key, in the order of its maps."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def read(dag_run: DagRun, task_id: str, key: str = "return_value") -> list[Any]:
        with create_session() as session:
            rows = session.scalars(
                select(XComModel)
                .where(
                    XComModel.dag_id == dag_run.dag_id,
                    XComModel.run_id == dag_run.run_id,
                    XComModel.task_id == task_id,
                    XComModel.key == key,
                )
                .order_by(XComModel.map_index)
            )
            return [XComModel.deserialize_value(row) for row in rows]

    return read
