"""Profile `ha`: two MLflow servers behind one address; either may fail."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING

import httpx
import pytest

from faultline.local.ports import is_free

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, Until

pytestmark = pytest.mark.compose

_SERVERS = ("mlflow", "mlflow-2")


@pytest.fixture(scope="module")
def pair(containers: Containers) -> Iterator[Containers]:
    """Trainer and predictor at the address of both; at the single one again afterwards."""
    port = next(port for port in range(32_700, 32_760) if is_free(port))
    services = ("mlflow-proxy", "mlflow-2")
    try:
        with containers.with_variables(
            MLFLOW_ADDRESS="mlflow-proxy:5000", MLFLOW_HA_PORT=str(port)
        ) as changed:
            changed.run("--profile", "ha", "up", "--detach", "--wait")
            yield changed
    finally:
        containers.run("--profile", "ha", "rm", "--stop", "--force", *services)
        containers.up()


def _ask(pair: Containers, path: str, **body: object) -> httpx.Response:
    return httpx.post(f"{pair.url('MLFLOW_HA_PORT')}/api/2.0/mlflow/{path}", json=body, timeout=60)


def _asked_for(pair: Containers, server: str, path: str) -> int:
    """How often a server says that it was asked for a path."""
    return pair.run("--profile", "ha", "logs", "--no-color", server).count(path)


def _revive(pair: Containers, server: str, until: Until) -> None:
    """Start it and wait until it is asked: who does not answer is left out for some seconds."""
    pair.run("--profile", "ha", "up", "--detach", "--wait")
    before = _asked_for(pair, server, "experiments/search")

    def is_asked() -> bool:
        for _ in range(10):
            assert _ask(pair, "experiments/search", max_results=1).status_code == 200
        return _asked_for(pair, server, "experiments/search") > before

    until(is_asked, f"{server} to be asked again")


@pytest.fixture(params=_SERVERS)
def killed(request: pytest.FixtureRequest, pair: Containers, until: Until) -> Iterator[str]:
    """One of the two, dead; alive again and asked afterwards."""
    pair.run("--profile", "ha", "kill", request.param)
    yield request.param
    _revive(pair, request.param, until)


def test_both_servers_are_asked(pair: Containers, until: Until) -> None:
    names = (f"both {number}" for number in count())

    def have_been_asked() -> bool:
        for name in islice(names, 10):
            assert _ask(pair, "experiments/create", name=name).status_code == 200
        return all(_asked_for(pair, server, "experiments/create") for server in _SERVERS)

    until(have_been_asked, "both servers to be asked")


def test_with_one_server_dead_every_request_is_answered(pair: Containers, killed: str) -> None:
    for number in range(40):
        made = _ask(pair, "experiments/create", name=f"without {killed} {number}")
        assert made.status_code == 200, made.text
        again = _ask(pair, "experiments/create", name=f"without {killed} {number}")
        assert again.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"


def test_with_one_server_dead_a_training_registers_and_its_version_is_loaded(
    pair: Containers, fleet: Fleet, killed: str
) -> None:
    fleet.send(900)
    fleet.wait()
    fleet.train()
    name = f"faultline-{fleet.machine_type}"
    url = f"{pair.url('MLFLOW_HA_PORT')}/api/2.0/mlflow/model-versions/get"
    found = httpx.get(url, params={"name": name, "version": "1"}, timeout=60).json()
    assert found["model_version"]["current_stage"] == "Production"


def test_a_server_that_is_back_is_asked_again(pair: Containers, until: Until) -> None:
    pair.run("--profile", "ha", "kill", "mlflow-2")
    _revive(pair, "mlflow-2", until)
