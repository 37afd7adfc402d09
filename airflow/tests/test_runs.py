"""Every DAG, run by `airflow dags test` against a real trainer and a real MLflow.

The tests of a class go on from each other: a life of one model.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import httpx
import pytest

XComs = Callable[..., list[Any]]

FIRST = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)


@pytest.fixture(scope="class", autouse=True)
def _pumps(faultline: Any) -> None:
    if not _stored(faultline):
        faultline.history("pump")


def _stored(faultline: Any) -> bool:
    machines = httpx.get(f"{faultline.url['predictor']}/api/v1/machines").json()["machines"]
    return any(one["machine_type"] == "pump" for one in machines)


class TestOneModel:
    def test_a_version_is_trained_and_promoted_and_knows_its_dag_run(
        self, faultline: Any, run_dag: Any, xcoms: XComs
    ) -> None:
        dag_run = run_dag("train_and_promote", FIRST, machine_types=["pump"])
        assert dag_run.state == "success"
        [version] = faultline.versions("pump").values()
        assert version["stage"] == "Production"
        assert version["tags"]["airflow.decision"] == "promoted"

        link = f"http://airflow.test/dags/train_and_promote/runs/{quote(dag_run.run_id, safe='')}"
        tags = faultline.run_tags(version["run_id"])
        assert tags["airflow.dag_run_id"] == dag_run.run_id
        assert tags["airflow.dag_run_link"] == link
        assert tags["airflow.trigger"].startswith("manual")

        run_link = f"{faultline.url['mlflow']}/#/experiments/"
        wait = "one_type.wait_for_training"
        [found] = xcoms(dag_run, wait, "_link_MLflowRunLink")
        assert found.startswith(run_link)
        assert found.endswith(version["run_id"])
        [made] = xcoms(dag_run, wait)
        assert (made["version"], made["run_link"]) == ("1", found)

    def test_a_rerun_makes_no_second_version(self, faultline: Any, run_dag: Any) -> None:
        assert run_dag("train_and_promote", FIRST, machine_types=["pump"]).state == "success"
        assert set(faultline.versions("pump")) == {"1"}
        assert len(faultline.trainer("GET", "train")["jobs"]) == 1

    def test_the_same_readings_in_another_dag_run_make_no_second_version(
        self, faultline: Any, run_dag: Any, xcoms: XComs
    ) -> None:
        before = faultline.versions("pump")
        later = FIRST + timedelta(minutes=1)
        dag_run = run_dag("train_and_promote", later, machine_types=["pump"])
        assert dag_run.state == "success"
        [made] = xcoms(dag_run, "one_type.wait_for_training")
        assert (made["version"], made["unchanged"]) == ("1", True)
        after = faultline.versions("pump")
        assert set(after) == {"1"}
        assert after["1"]["stage"] == "Production"
        made_by = "airflow.dag_run_id"
        assert after["1"]["tags"][made_by] == before["1"]["tags"][made_by]

    def test_the_same_readings_make_a_second_version_when_told_to(
        self, faultline: Any, run_dag: Any
    ) -> None:
        later = FIRST + timedelta(minutes=2)
        asked = {"machine_types": ["pump"], "quality_limits": ["silhouette >= 2"], "retrain": True}
        assert run_dag("train_and_promote", later, **asked).state == "success"
        version = faultline.versions("pump")["2"]
        assert version["stage"] == "Staging"
        assert version["tags"]["airflow.decision"] == "not promoted"

    def test_a_candidate_that_misses_a_limit_stays_in_staging_with_the_reason(
        self, faultline: Any, run_dag: Any
    ) -> None:
        job = faultline.trainer(
            "POST",
            "train",
            json={
                "machine_type": "pump",
                "promotion": "hold",
                "hyperparameters": {"false_alarm_rate": 0.0005},
            },
        )
        state = job["state"]
        while state not in {"succeeded", "failed"}:
            state = faultline.trainer("GET", f"train/{job['job_id']}")["state"]
        assert run_dag("verify_candidates", quality_limits=["silhouette >= 2"]).state == "success"
        version = faultline.versions("pump")["3"]
        assert version["stage"] == "Staging"
        assert version["tags"]["airflow.decision_reason"].startswith("silhouette >= 2: it is 0.")

    def test_a_challenger_is_replayed_beside_the_champion(
        self, faultline: Any, run_dag: Any, xcoms: XComs
    ) -> None:
        dag_run = run_dag("backtest_challenger", FIRST, machine_types=["pump"], backtest_days=3_650)
        assert dag_run.state == "success"
        [found] = xcoms(dag_run, "backtest")
        assert (found["version"], found["champion"]) == ("3", "1")
        assert found["readings"] > 0
        tags = faultline.versions("pump")["3"]["tags"]
        assert tags["backtest.champion_version"] == "1"
        assert "backtest.challenger.false_alarms" in tags
        assert tags["airflow.dag_run_id.backtest"] == dag_run.run_id

    def test_a_good_candidate_is_promoted_and_the_former_version_archived(
        self, faultline: Any, run_dag: Any
    ) -> None:
        assert run_dag("verify_candidates", quality_limits=["silhouette >= 0.1"]).state == "success"
        stages = {number: one["stage"] for number, one in faultline.versions("pump").items()}
        assert stages == {"1": "Archived", "2": "Staging", "3": "Production"}

    def test_an_archived_version_is_not_promoted_again_by_a_rerun(
        self, faultline: Any, run_dag: Any
    ) -> None:
        assert run_dag("train_and_promote", FIRST, machine_types=["pump"]).state == "success"
        versions = faultline.versions("pump")
        assert versions["1"]["stage"] == "Archived"
        assert versions["3"]["stage"] == "Production"
        assert "newer, is in Production" in versions["1"]["tags"]["airflow.decision_reason"]

    def test_maintenance_shows_first_and_changes_only_when_told(
        self, faultline: Any, run_dag: Any, xcoms: XComs
    ) -> None:
        # Beside version 2, which is newer and stays.
        faultline.trainer("POST", "faultline-pump/versions/1/promote", json={"stage": "Staging"})
        old = _run_without_a_version(faultline)
        limits = {"keep_staging_days": 0, "keep_runs_days": 0, "stale_after_days": 0}
        shown = run_dag("maintenance", FIRST, **limits)
        [report] = xcoms(shown, "report")
        assert report["retention"] == {
            "applied": False,
            "days": {"readings": 0, "verdicts": 0, "events": 0},
            "expired": [],
        }
        assert report["candidates"] == {"applied": False, "versions": ["faultline-pump 1"]}
        assert report["runs"]["runs"] == [old]
        assert report["dead_letters"] == {}
        assert [one["model_name"] for one in report["stale_models"]] == ["faultline-pump"]
        assert faultline.versions("pump")["1"]["stage"] == "Staging"

        assert run_dag("maintenance", FIRST + timedelta(minutes=1), apply=True, **limits).state == (
            "success"
        )
        stages = {number: one["stage"] for number, one in faultline.versions("pump").items()}
        assert stages == {"1": "Archived", "2": "Staging", "3": "Production"}
        info = faultline.mlflow("runs/get", run_id=old)["run"]["info"]
        assert info["lifecycle_stage"] == "deleted"
        for version in faultline.versions("pump").values():
            run = faultline.mlflow("runs/get", run_id=version["run_id"])["run"]
            assert run["info"]["lifecycle_stage"] == "active"


def _run_without_a_version(faultline: Any) -> str:
    api = f"{faultline.url['mlflow']}/api/2.0/mlflow"
    made = httpx.post(f"{api}/runs/create", json={"experiment_id": "0", "start_time": 1}).json()
    run_id = str(made["run"]["info"]["run_id"])
    done = {"run_id": run_id, "status": "FINISHED", "end_time": 2}
    httpx.post(f"{api}/runs/update", json=done).raise_for_status()
    return run_id


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is posted to the connection `faultline_alerts`."""
    found: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(
            "AIRFLOW_CONN_FAULTLINE_ALERTS", f"http://127.0.0.1:{server.server_port}"
        )
        yield found
        server.shutdown()


def test_a_type_without_readings_in_the_time_range_is_skipped(
    run_dag: Any, xcoms: XComs, told: list[dict[str, Any]]
) -> None:
    later = datetime(2026, 1, 1, 12, tzinfo=UTC)
    dag_run = run_dag("train_and_promote", later, machine_types=["pump"], history_days=0.1)
    assert dag_run.state == "success"
    assert len(xcoms(dag_run, "one_type.train")) == 1
    assert told == []
    assert xcoms(dag_run, "one_type.promote_or_leave") == []


@pytest.mark.parametrize(
    ("machine_type", "seconds", "task_id", "why"),
    [
        ("unheard-of", 5, "one_type.train", "there are some of: pump"),
        # Readings, and too few of them.
        ("pump", 6, "one_type.wait_for_training", "the training failed"),
    ],
)
def test_a_training_that_fails_fails_its_task_once_and_is_told(
    run_dag: Any,
    told: list[dict[str, Any]],
    machine_type: str,
    seconds: int,
    task_id: str,
    why: str,
) -> None:
    at = datetime(2026, 1, 1, 0, 0, seconds, tzinfo=UTC)
    span = {"history_days": 20 / 86_400}
    dag_run = run_dag("train_and_promote", at, machine_types=[machine_type], **span)
    assert dag_run.state == "failed"
    [message] = told
    assert message["task_id"] == task_id
    assert why in message["error"]
    assert message["dag_run_id"] == dag_run.run_id
