"""From a reading on the topic to a verdict that names the failing sensor, in containers.

The tests build on one another, in this order, with one fleet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faultline.ports.jobs import Period
from faultline.sources.faults import FaultKind

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, NewFleet

pytestmark = pytest.mark.compose

_HISTORY_ROWS = 900


@pytest.fixture(scope="module")
def pumps(new_fleet: NewFleet) -> Fleet:
    """The fleet that these tests share."""
    return new_fleet()


def test_all_services_are_healthy_and_the_steps_before_them_succeeded(
    containers: Containers,
) -> None:
    states = {one["Service"]: (one["State"], one["Health"]) for one in containers.containers()}
    steps = {"migrate", "topics", "kafka-users"}
    services = {
        *("postgres", "kafka", "mlflow", "ingest", "recorder", "trainer", "predictor"),
        "predictor-proxy",
    }
    assert states == {
        **dict.fromkeys(steps, ("exited", "")),
        **dict.fromkeys(services, ("running", "healthy")),
    }
    assert containers.healthy()


def test_no_service_runs_as_root_or_can_change_its_files(containers: Containers) -> None:
    for service in ("postgres", "kafka", "ingest", "recorder", "trainer", "predictor"):
        script = "id -u; touch /usr/x 2>/dev/null && echo writable; grep CapEff /proc/1/status"
        told = containers.run("exec", "-T", service, "sh", "-c", script).split()
        assert told[0] != "0", service
        assert told[1:] == ["CapEff:", "0" * 16], service


def test_what_a_producer_on_the_host_sends_is_stored_and_judged(pumps: Fleet) -> None:
    pumps.send(_HISTORY_ROWS)
    pumps.wait()


def test_what_is_posted_to_the_gateway_is_stored(containers: Containers, fleet: Fleet) -> None:
    reading = {
        "machine_id": f"{fleet.machine_type}-01",
        "machine_type": fleet.machine_type,
        "timestamp": "2026-01-01T00:00:00Z",
        "sensors": {"pressure": 4.1},
    }
    answer = httpx.post(f"{containers.url('INGEST_PORT')}/api/v1/readings", json=reading)
    assert answer.status_code == 202
    containers.wait_for(fleet.machine_type, 1)


def test_the_first_version_is_in_mlflow_with_its_silhouette_and_in_production(
    containers: Containers, pumps: Fleet
) -> None:
    pumps.train()
    version = _version(containers, pumps, "1")
    assert version["current_stage"] == "Production"
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert 0 < float(tags["silhouette"]) <= 1
    run = _mlflow(containers, "runs/get", run_id=version["run_id"])["run"]
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics["silhouette"] == pytest.approx(float(tags["silhouette"]), abs=1e-9)


def test_a_failing_machine_and_its_sensor_are_named(containers: Containers, pumps: Fleet) -> None:
    failing = pumps.plant.machine_ids[1]
    start_ms = pumps.now_ms + 60 * pumps.plant.interval_ms
    fault = pumps.plant.fault(
        FaultKind.BEARING_WEAR, failing, start_ms, 240 * pumps.plant.interval_ms
    )
    pumps.send(300, pumps.plant.with_faults([fault]))
    pumps.wait()

    machine = _predictor(containers, f"machines/{failing}/verdicts", limit=1)["verdicts"][0]
    assert (machine["status"], machine["model_version"]) == ("failure", "1")
    assert machine["contributions"][0]["sensor"] in fault.sensors
    alarms = _predictor(containers, "alarms", limit=1_000)["alarms"]
    assert [one["machine_id"] for one in alarms if one["machine_type"] == pumps.machine_type] == [
        failing
    ]


def test_a_second_version_takes_over_while_it_runs_and_the_first_is_archived(
    containers: Containers, pumps: Fleet
) -> None:
    # The machine is well again; what was learnt from must not be its fault.
    faulty = Period(pumps.now_ms - 300 * pumps.plant.interval_ms, pumps.now_ms)
    pumps.send(200)
    pumps.wait()
    pumps.train(excluded=[faulty])
    pumps.send(50)
    pumps.wait()

    assert _version(containers, pumps, "1")["current_stage"] == "Archived"
    assert _version(containers, pumps, "2")["current_stage"] == "Production"
    by_version = {
        version: containers.count("verdicts", pumps.machine_type, f"model_version = '{version}'")
        for version in ("1", "2")
    }
    assert by_version == {"1": 500 * pumps.plant.machines, "2": 50 * pumps.plant.machines}


def _predictor(containers: Containers, path: str, **query: Any) -> Any:
    answer = httpx.get(f"{containers.url('PREDICTOR_PORT')}/api/v1/{path}", params=query)
    answer.raise_for_status()
    return answer.json()


def _mlflow(containers: Containers, path: str, **query: str) -> Any:
    url = f"{containers.url('MLFLOW_PORT')}/api/2.0/mlflow/{path}"
    answer = httpx.get(url, params=query)
    answer.raise_for_status()
    return answer.json()


def _version(containers: Containers, fleet: Fleet, version: str) -> Any:
    name = f"faultline-{fleet.machine_type}"
    return _mlflow(containers, "model-versions/get", name=name, version=version)["model_version"]
