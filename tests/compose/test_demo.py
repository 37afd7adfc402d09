"""Profile `demo`: a simulated fleet, whose first model is trained by itself and judges it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Until

pytestmark = pytest.mark.compose

_MACHINES = 8
_HISTORY_READINGS = 3_600
_SERVICES = ("simulator", "demo-model")


@pytest.fixture
def demo(containers: Containers) -> Iterator[Containers]:
    """The project with the profile; without it again afterwards."""
    try:
        containers.run("--profile", "demo", "up", "--detach", *_SERVICES)
        yield containers
    finally:
        containers.run("--profile", "demo", "rm", "--stop", "--force", *_SERVICES)


def _fleet(demo: Containers) -> list[dict[str, Any]]:
    url = f"{demo.url('PREDICTOR_PORT')}/api/v1/machines"
    answer = httpx.get(url, params={"machine_type": "pump"}, timeout=30)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["machines"]
    return found


def _are_judged(fleet: list[dict[str, Any]]) -> bool:
    """Whether a version has said of each machine how it is."""
    last = [machine["last_verdict"] or {} for machine in fleet]
    return all(
        verdict.get("model_version") == "1" and verdict["status"] in {"normal", "failure"}
        for verdict in last
    )


def test_a_fleet_appears_with_its_history_and_is_judged_by_its_first_version(
    demo: Containers, until: Until
) -> None:
    until(
        lambda: (
            [one["readings"] >= _HISTORY_READINGS for one in _fleet(demo)] == [True] * _MACHINES
        ),
        "the history of the fleet",
    )
    demo.wait_for_version("pump", "1")
    until(lambda: _are_judged(_fleet(demo)), "a verdict by the first version on every machine")
    fleet = _fleet(demo)
    assert len(fleet) == _MACHINES

    # It goes on: a reading a second.
    readings = {machine["machine_id"]: machine["readings"] for machine in fleet}
    until(
        lambda: all(one["readings"] > readings[one["machine_id"]] for one in _fleet(demo)),
        "another reading of every machine",
    )
    until(lambda: _state(demo, "demo-model") == ("exited", 0), "the end of the model's training")
    assert _state(demo, "simulator") == ("running", 0)


def _state(demo: Containers, service: str) -> tuple[str, int]:
    [found] = [one for one in demo.containers() if one["Service"] == service]
    return found["State"], found["ExitCode"]
