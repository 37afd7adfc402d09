"""The demo's model is trained once, on the whole history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import yaml

from faultline.client import TrainerClient
from faultline.errors import Unavailable
from faultline.ports.stores import MachineSummary
from faultline.sources.plant import Plant

ROOT = Path(__file__).parents[3]
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def first_model() -> ModuleType:
    path = ROOT / "deploy/demo/first_model.py"
    module = ModuleType("first_model")
    exec(compile(path.read_text(), path, "exec"), module.__dict__)
    return module


def _trainer(versions: int | None) -> TrainerClient:
    """One that knows so many versions of the pumps' model; None: not even the model."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/ml/models/faultline-pump/versions"
        if versions is None:
            return httpx.Response(404, json={"detail": "no such model"})
        return httpx.Response(200, json={"versions": [{"version": "1"}] * versions})

    return TrainerClient("http://trainer", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("versions", [None, 0])
def test_it_waits_for_the_history_and_then_trains(
    first_model: ModuleType, versions: int | None
) -> None:
    stored: Iterator[bool] = iter([False, False, True])
    pauses: list[None] = []
    with _trainer(versions) as trainer:
        assert first_model.ready_to_train(
            trainer, "pump", lambda: next(stored), lambda: pauses.append(None)
        )
    assert len(pauses) == 2


def test_a_type_that_has_a_version_is_left_alone(first_model: ModuleType) -> None:
    def never() -> bool:
        raise AssertionError("there is nothing to wait for")

    with _trainer(1) as trainer:
        assert not first_model.ready_to_train(trainer, "pump", never, never)


class _Store:
    """Knows how many readings each pump has; None is a database that is down."""

    def __init__(self, readings: list[int] | None) -> None:
        self._readings = readings

    def machines(self, machine_type: str) -> list[MachineSummary]:
        if self._readings is None:
            raise Unavailable("down")
        return [
            MachineSummary(f"{machine_type}-{number}", machine_type, 0, 0, readings)
            for number, readings in enumerate(self._readings)
        ]


@pytest.mark.parametrize(
    ("readings", "stored"),
    [([10, 12], True), ([10, 9], False), ([30], False), ([], False), (None, False)],
)
def test_the_history_is_stored_when_every_machine_has_all_of_it(
    first_model: ModuleType, readings: list[int] | None, stored: bool
) -> None:
    assert first_model.is_stored(_Store(readings), "pump", 2, 10) is stored


def test_it_waits_for_as_much_as_the_simulator_sends() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    simulated = services["simulator"]["command"]
    assert simulated[simulated.index("--history") + 1] == "1h"
    assert "--machines" not in simulated
    machine_type, machines, readings, _ = services["demo-model"]["command"]
    plant = Plant(machines=8, machine_type=machine_type)
    assert machines == str(plant.machines)
    assert readings == str(HOUR_MS // plant.interval_ms)
