"""Several predictors behind one address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, NewFleet, Until

pytestmark = pytest.mark.compose


@pytest.fixture
def two_predictors(containers: Containers) -> Iterator[list[str]]:
    """Addresses of two replicas, within the containers' network."""
    containers.up("--scale", "predictor=2")
    yield [
        containers.run("exec", "-T", "--index", str(index), "predictor", "hostname").strip()
        for index in (1, 2)
    ]
    containers.up("--scale", "predictor=1")


def test_two_replicas_share_the_partitions_and_either_answers_about_all_machines(
    containers: Containers, two_predictors: list[str], new_fleet: NewFleet, until: Until
) -> None:
    many = new_fleet(machines=24)
    many.send(50)
    many.wait()

    until(lambda: sorted(_partitions(containers)) == [3, 3], "three partitions for each")
    path = f"/api/v1/machines?machine_type={many.machine_type}"
    for replica in two_predictors:
        url = f"http://{replica}:8000{path}"
        fetch = f"import urllib.request as u; print(u.urlopen('{url}').read().decode())"
        told = containers.run("exec", "-T", "recorder", "python", "-c", fetch)
        assert all(machine in told for machine in many.plant.machine_ids), replica
    behind_one_address = httpx.get(containers.url("PREDICTOR_PORT") + path).json()["machines"]
    assert len(behind_one_address) == many.plant.machines


def test_a_replica_that_goes_leaves_its_machines_to_the_other(
    containers: Containers, two_predictors: list[str], fleet: Fleet
) -> None:
    fleet.send(100)
    containers.run("up", "--detach", "--no-recreate", "--scale", "predictor=1")
    fleet.send(100)
    fleet.wait()
    # However often it is asked, the address answers.
    for _ in range(20):
        assert httpx.get(f"{containers.url('PREDICTOR_PORT')}/health/live").status_code == 200


def _partitions(containers: Containers) -> list[int]:
    """How many partitions of the readings each member of the predictors' group has."""
    described = containers.run(
        *("exec", "-T", "kafka", "/opt/kafka/bin/kafka-consumer-groups.sh"),
        *("--bootstrap-server", "localhost:19092", "--describe", "--group", "predictor"),
    )
    members = [
        line.split()[6] for line in described.splitlines() if " sensor.readings " in f"{line} "
    ]
    return [members.count(member) for member in set(members)]
