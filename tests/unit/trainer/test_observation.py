"""What Prometheus sees of the registry and the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faultline.errors import Unavailable
from services.trainer.observation import Observation

if TYPE_CHECKING:
    from tests.unit.trainer.conftest import World

_NAME = "faultline-pump"


class Watcher:
    """An observation, and what it shows."""

    def __init__(self, world: World) -> None:
        self._metrics = world.trainer.metrics
        self.observation = Observation(world.registry, world.queue, self._metrics, 1.0)

    def shown(self, name: str, **labels: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"faultline_trainer_{name}", labels)

    def model(self, name: str) -> float | None:
        return self.shown(name, model=_NAME)


@pytest.fixture
def watcher(world: World) -> Watcher:
    return Watcher(world)


def test_a_model_in_production_is_shown_with_its_time(world: World, watcher: Watcher) -> None:
    world.train()
    watcher.observation.look()
    (version,) = world.registry.versions(_NAME)
    created_s = version.created_at_ms / 1_000
    assert watcher.model("model_in_production") == 1
    assert watcher.model("production_trained_timestamp_seconds") == created_s
    assert watcher.model("last_trained_timestamp_seconds") == created_s


def test_a_model_without_production_is_shown_as_such(world: World, watcher: Watcher) -> None:
    world.train(promotion="hold")
    watcher.observation.look()
    assert watcher.model("model_in_production") == 0
    assert watcher.model("production_trained_timestamp_seconds") is None
    assert watcher.model("last_trained_timestamp_seconds") is not None


def test_jobs_that_wait_are_counted(world: World, watcher: Watcher) -> None:
    world.submit()
    world.submit()
    watcher.observation.look()
    assert watcher.shown("queued_jobs") == 2


def test_a_registry_that_is_down_is_shown_and_what_was_seen_stays(
    world: World, watcher: Watcher
) -> None:
    world.train()
    watcher.observation.look()
    assert watcher.shown("registry_reachable") == 1
    world.registry.plan("models", Unavailable("MLflow is away"))
    with pytest.raises(Unavailable):
        watcher.observation.look()
    assert watcher.shown("registry_reachable") == 0
    assert watcher.model("model_in_production") == 1
