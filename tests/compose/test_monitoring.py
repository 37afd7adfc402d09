"""The profile `monitoring`: Prometheus sees every replica, its rules are loaded, Grafana asks it.

Whose image cannot be had here is left out, and the tests about it are skipped.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from faultline.local.ports import Ports

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Until

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
_COMPOSE = ROOT / "deploy" / "monitoring" / "docker-compose.yml"
_IMAGES = {
    name: str(service["image"])
    for name, service in yaml.safe_load(_COMPOSE.read_text())["services"].items()
}
_PROFILE = ("--profile", "monitoring")
_JOBS = {"gateway", "recorder", "trainer", "predictor", "prometheus"}
_PULL_S = 120


@cache
def _missing(service: str) -> str:
    """Why a service's image cannot be had; '' when it can."""
    image = _IMAGES[service]
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if found.returncode == 0:
        return ""
    try:
        subprocess.run(
            ["docker", "pull", "--quiet", image],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PULL_S,
        )
    except subprocess.CalledProcessError as error:
        return f"{image} cannot be pulled: {error.stderr.strip()}"
    except subprocess.TimeoutExpired:
        return f"{image} was not pulled within {_PULL_S} s"
    return ""


def _require(service: str) -> None:
    if why := _missing(service):
        pytest.skip(why)


@dataclass(frozen=True)
class Monitoring:
    """The project with the profile."""

    containers: Containers
    http: httpx.Client

    def reads(self, path: str, **query: str) -> Any:
        url = f"{self.containers.url('PROMETHEUS_PORT')}/api/v1/{path}"
        return self.http.get(url, params=query).json()["data"]

    def targets(self) -> dict[str, list[str]]:
        """How the targets of each job are."""
        found: dict[str, list[str]] = {}
        for target in self.reads("targets")["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found

    def value(self, query: str) -> float | None:
        result = self.reads("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None


@pytest.fixture(scope="module")
def monitoring(containers: Containers) -> Iterator[Monitoring]:
    """All of the profile whose images can be had; gone again afterwards."""
    _require("prometheus")
    ports = Ports.free()
    services = [service for service in _IMAGES if not _missing(service)]
    settings = {"PROMETHEUS_PORT": str(ports.gateway), "GRAFANA_PORT": str(ports.trainer)}
    with containers.with_variables(**settings) as changed:
        try:
            changed.run(*_PROFILE, "up", "--detach", "--wait", "--no-deps", *services)
            with httpx.Client(trust_env=False) as http:
                yield Monitoring(changed, http)
        finally:
            changed.run(*_PROFILE, "rm", "--stop", "--force", *services)


def test_prometheus_scrapes_every_service(monitoring: Monitoring, until: Until) -> None:
    until(
        lambda: (
            {job for job, health in monitoring.targets().items() if set(health) == {"up"}} >= _JOBS
        ),
        "every service scraped",
    )


def test_a_new_replica_is_scraped_too(monitoring: Monitoring, until: Until) -> None:
    def scaled(replicas: int) -> None:
        number = f"predictor={replicas}"
        monitoring.containers.up("--no-recreate", "--no-deps", "--scale", number, "predictor")

    try:
        scaled(2)
        until(lambda: monitoring.targets().get("predictor") == ["up"] * 2, "both predictors")
    finally:
        scaled(1)
    until(lambda: monitoring.targets().get("predictor") == ["up"], "the one that is left")


def test_every_rule_is_loaded_and_finds_what_it_asks_for(
    monitoring: Monitoring, until: Until
) -> None:
    def ill() -> dict[str, str]:
        groups = monitoring.reads("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["type"] for rule in rules} == {"alerting", "recording"}
        return {rule["name"]: rule["health"] for rule in rules if rule["health"] != "ok"}

    until(lambda: ill() == {}, "every rule evaluated")
    until(
        lambda: monitoring.value('faultline:lag_messages:sum{reader="recorder"}') is not None,
        "a recorded value",
    )
    until(lambda: monitoring.value("faultline_trainer_registry_reachable") == 1, "MLflow reached")


def test_grafana_has_every_dashboard_behind_its_password(monitoring: Monitoring) -> None:
    _require("grafana")
    url = f"{monitoring.containers.url('GRAFANA_PORT')}/api"
    assert monitoring.http.get(f"{url}/search", auth=("admin", "admin")).status_code == 401
    login = ("admin", monitoring.containers.variables["GRAFANA_PASSWORD"])
    found = monitoring.http.get(f"{url}/search", params={"type": "dash-db"}, auth=login).json()
    files = (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    assert {one["uid"] for one in found} == {json.loads(file.read_text())["uid"] for file in files}
    source = monitoring.http.get(f"{url}/datasources/uid/faultline-prometheus/health", auth=login)
    assert source.json()["status"] == "OK"


@pytest.mark.parametrize(
    ("service", "query"),
    [("postgres-exporter", "pg_up"), ("kafka-exporter", "count(kminion_kafka_cluster_info)")],
)
def test_an_exporter_reaches_what_it_tells_of(
    monitoring: Monitoring, until: Until, service: str, query: str
) -> None:
    _require(service)
    until(lambda: monitoring.value(query) == 1, query)
