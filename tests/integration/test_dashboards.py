"""Every query of every dashboard, asked of a real Prometheus that scrapes the running services.

The services have had readings, a training, a promotion, a challenger, requests to predict and a
look for drift by then. What only a failure brings forth says `or vector(0)` in the query itself.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from faultline.client import PredictorClient, TrainerClient
from faultline.local.home import Endpoints, External
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.readings import encode
from faultline.sources.http import HttpSink
from faultline.sources.plant import Plant

if TYPE_CHECKING:
    from tests.integration.conftest import Until

# A cold start of everything, on a machine that has other things to do.
pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
SERVICES = ("gateway", "recorder", "trainer", "predictor")

_START_MS = 1_767_225_600_000
_HISTORY_ROWS = 900
_KIND = "dashboards"
_SETTINGS = {
    "FAULTLINE_PREDICTOR_MODEL_POLL_S": "0.5",
    "FAULTLINE_PREDICTOR_COMPARISON_S": "0.5",
    "FAULTLINE_PREDICTOR_DRIFT_POLL_S": "0.5",
    "FAULTLINE_TRAINER_RECONCILE_S": "1",
    "FAULTLINE_TRAINER_ON_DRIFT": "false",
}


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    http: httpx.Client

    def ask(self, query: str) -> list[float]:
        """The values of a query now, those that are numbers."""
        answer = self.http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer.get('error')}"
        values = [float(series["value"][1]) for series in answer["data"]["result"]]
        return [value for value in values if not math.isnan(value)]

    def reads(self, path: str) -> Any:
        return self.http.get(f"/api/v1/{path}").json()["data"]

    def is_up(self) -> bool:
        try:
            return self.http.get("/-/ready").is_success
        except httpx.TransportError:
            return False


def _write_configuration(folder: Path, endpoints: Endpoints) -> None:
    """Write ours, with shorter intervals, and addresses of this machine for those in Docker."""
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    configuration["scrape_configs"] = [
        {
            "job_name": job["job_name"],
            "static_configs": [
                {"targets": [getattr(endpoints, job["job_name"]).removeprefix("http://")]}
            ],
        }
        for job in configuration["scrape_configs"]
        if job["job_name"] in SERVICES
    ]
    shutil.copytree(FOLDER / "rules", folder / "rules")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    # In a container another user reads it.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _image() -> str:
    """Prometheus' image, or the test is skipped."""
    compose = yaml.safe_load((ROOT / "deploy" / "monitoring" / "docker-compose.yml").read_text())
    image = str(compose["services"]["prometheus"]["image"])
    if shutil.which("docker") is None:
        pytest.skip("there is neither Prometheus nor docker on this machine")
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"there is no Prometheus on this machine, nor the image {image}")
    return image


@contextmanager
def _process(folder: Path, port: int) -> Iterator[None]:
    """Prometheus, as a program of this machine or in a container."""
    listen = f"--web.listen-address=127.0.0.1:{port}"
    if program := shutil.which("prometheus"):
        data = f"--storage.tsdb.path={folder / 'data'}"
        config = f"--config.file={folder / 'prometheus.yml'}"
        process = subprocess.Popen(
            [program, config, data, listen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.kill()
            process.wait(30)
        return

    def docker(*arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    command = (
        *("--network", "host", _image(), listen),
        *("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
    )
    container = docker("create", *command)
    try:
        docker("cp", f"{folder}/.", f"{container}:/etc/prometheus")
        docker("start", container)
        yield
    finally:
        docker("rm", "--force", "--volumes", container)


@pytest.fixture(scope="module")
def stack(platform_stack: Stack, module_home: Path) -> Iterator[Stack]:
    """Services of their own on the module's Kafka, PostgreSQL and MLflow."""
    given = platform_stack.endpoints
    external = External(kafka=given.kafka, postgres=given.database_url, mlflow=given.mlflow)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _SETTINGS.items():
            environment.setenv(name, value)
        with Stack(module_home, Ports.free(), external=external) as stack:
            yield stack


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, until: Until
) -> Iterator[Prometheus]:
    """Prometheus, with all that it was to see behind it."""
    folder, port = tmp_path_factory.mktemp("prometheus"), _free_port()
    _write_configuration(folder, stack.endpoints)
    with ExitStack() as open_:
        open_.enter_context(_process(folder, port))
        http = open_.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30.0)
        )
        server = Prometheus(http)
        until(server.is_up, "Prometheus")
        Events(stack, server, until).happen()
        yield server


class Events:
    """What has to happen before there is something to see, each seen before the next."""

    def __init__(self, stack: Stack, prometheus: Prometheus, until: Until) -> None:
        self._endpoints = stack.endpoints
        self._prometheus = prometheus
        self._until = until
        self._plant = Plant(machines=4, seed=7, machine_type=_KIND, period_rows=240)
        self._rows = 0

    def happen(self) -> None:
        with (
            TrainerClient(self._endpoints.trainer) as trainer,
            PredictorClient(self._endpoints.predictor) as predictor,
        ):
            self._saw("up", 1)
            self._send(_HISTORY_ROWS)
            first = trainer.wait(trainer.train(_KIND).job_id, timeout_s=300)
            assert first.promoted, first.decision
            self._until(lambda: predictor.live_version(_KIND) == "1", "the version")
            held = trainer.train(_KIND, promotion="hold", repeat=True)
            trainer.wait(held.job_id, timeout_s=300)
            self._saw("faultline_predictor_challenger_info", 1)
            for _ in range(3):
                self._send(40)
                self._predict()
                # Of a counter that is first seen at its end there is no rate.
                self._saw("sum(faultline_predictor_compared_readings_total)", 1)
            self._saw('sum(faultline_predictor_compared_readings_total{agreed="yes"})', 240)

    def _saw(self, query: str, least: float) -> None:
        self._until(
            lambda: bool(seen := self._prometheus.ask(query)) and min(seen) >= least,
            f"Prometheus seeing {query} at {least:g}",
        )

    def _send(self, rows: int) -> None:
        step = self._plant.interval_ms
        start_ms = _START_MS + self._rows * step
        with HttpSink(self._endpoints.gateway) as sink:
            sink.send(list(self._plant.readings(start_ms, start_ms + rows * step)))
            sink.flush()
        self._rows += rows
        sent = self._rows * self._plant.machines
        for metric, outcome in (("predictor", "judged"), ("recorder", "stored")):
            name = f"faultline_{metric}_readings_total"
            self._saw(f'sum({name}{{outcome="{outcome}"}})', sent)

    def _predict(self) -> None:
        at_ms = _START_MS + self._rows * self._plant.interval_ms
        (reading, *_) = self._plant.readings(at_ms, at_ms + self._plant.interval_ms)
        with httpx.Client(base_url=self._endpoints.predictor, trust_env=False) as http:
            for body in (encode(reading), b"no JSON"):
                http.post("/api/v1/predict", content=body)
        self._saw('sum(faultline_predictor_prediction_seconds_count{code="200"})', 1)


def test_every_service_is_scraped(prometheus: Prometheus) -> None:
    targets = prometheus.reads("targets")["activeTargets"]
    health = {target["labels"]["job"]: target["health"] for target in targets}
    assert health == dict.fromkeys(SERVICES, "up")


def test_every_rule_is_loaded_and_evaluated_without_an_error(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.reads("rules")["groups"] for rule in group["rules"]]
    ill = {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}
    assert rules
    assert ill == {}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_of_a_dashboard_returns_data(prometheus: Prometheus, file: Path) -> None:
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    missing = {
        f"{panel['title']}: {target['expr']}": _as_grafana_asks(target["expr"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    assert missing
    deadline_s = time.monotonic() + 30
    while missing and time.monotonic() < deadline_s:
        missing = {name: query for name, query in missing.items() if not prometheus.ask(query)}
    assert list(missing) == []


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_choice_of_a_dashboard_has_something_to_choose(
    prometheus: Prometheus, file: Path
) -> None:
    for variable in json.loads(file.read_text(encoding="utf-8"))["templating"]["list"]:
        query = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        assert query is not None
        metric, label = query.groups()
        values = prometheus.http.get(f"/api/v1/label/{label}/values", params={"match[]": metric})
        assert f"faultline-{_KIND}" in values.json()["data"]


def _as_grafana_asks(expression: str) -> str:
    # A longer interval than Grafana's, so that all that has happened is in it.
    return expression.replace("$__rate_interval", "10m").replace("$model", ".*")
