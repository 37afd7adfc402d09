"""Containers killed, restarted, taken down and put up again: nothing is lost or doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from faultline.client import TrainerClient

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, Until

pytestmark = pytest.mark.compose


@pytest.mark.parametrize("service", ["ingest", "recorder", "predictor", "postgres", "mlflow"])
def test_a_service_that_is_killed_while_readings_stream_loses_none(
    containers: Containers, fleet: Fleet, service: str
) -> None:
    fleet.send(100)
    containers.run("kill", service)
    fleet.send(100)
    containers.recover()
    fleet.send(100)
    fleet.wait()
    assert containers.healthy()


def test_kafka_that_is_killed_keeps_what_it_acknowledged(
    containers: Containers, fleet: Fleet
) -> None:
    fleet.send(100)
    containers.run("kill", "kafka")
    containers.recover()
    fleet.send(100)
    fleet.wait()


def test_kafka_that_is_restarted_is_found_again_by_the_services(
    containers: Containers, fleet: Fleet
) -> None:
    fleet.send(100)
    containers.run("restart", "kafka")
    containers.recover()
    fleet.send(100)
    fleet.wait()


def test_a_trainer_that_is_killed_while_it_trains_finishes_the_job_afterwards(
    containers: Containers, fleet: Fleet, until: Until
) -> None:
    fleet.send(900)
    fleet.wait()
    with TrainerClient(containers.url("TRAINER_PORT")) as trainer:
        asked = trainer.train(fleet.machine_type)
        until(lambda: trainer.job(asked.job_id).state != "queued", "the job to begin")
        containers.run("kill", "trainer")
        containers.recover()
        job = trainer.wait(asked.job_id, timeout_s=240)
    assert (job.error, job.promoted) == (None, True), job.decision


def test_a_process_that_dies_is_started_again_by_itself(
    containers: Containers, fleet: Fleet, until: Until
) -> None:
    (before,) = (one["ID"] for one in containers.containers() if one["Service"] == "recorder")
    # As number 1 it may end itself; nobody else in the container may kill it.
    containers.run("exec", "-T", "recorder", "python", "-c", "import os; os.kill(1, 15)")
    until(containers.healthy, "the recorder to be healthy again")
    (after,) = (one["ID"] for one in containers.containers() if one["Service"] == "recorder")
    assert after == before
    fleet.send(50)
    fleet.wait()


def test_down_and_up_again_keeps_readings_versions_and_what_the_predictor_knew(
    containers: Containers, fleet: Fleet
) -> None:
    fleet.send(900)
    fleet.wait()
    fleet.train()
    containers.run("down", "--timeout", "45")
    containers.up()

    containers.wait_for_version(fleet.machine_type, "1")
    fleet.send(50)
    fleet.wait()
    live = "model_version = '1' AND status IN ('normal', 'failure')"
    assert containers.count("verdicts", fleet.machine_type, live) == 50 * fleet.plant.machines
    name = f"faultline-{fleet.machine_type}"
    url = f"{containers.url('MLFLOW_PORT')}/api/2.0/mlflow/model-versions/get"
    found = httpx.get(url, params={"name": name, "version": "1"}).json()
    assert found["model_version"]["current_stage"] == "Production"
