"""Promoters on the real PostgreSQL that lose their turn while they hang in the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.errors import Unavailable
from faultline.local.home import Endpoints
from faultline.ports.promotions import TurnTaken
from faultline.ports.registry import Stage, TrainingRun
from faultline.topics import MODEL_EVENTS
from services.trainer.announcer import Announcer
from services.trainer.change import Changes
from services.trainer.outbox import Outbox
from services.trainer.promotion import Promotions
from services.trainer.reconciliation import Reconciler

pytestmark = pytest.mark.real


class Hanging:
    """A registry in which something happens before a promotion goes on."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry
        self.meanwhile: Callable[[], object] = lambda: None

    def promote(self, name: str, version: str) -> None:
        self.meanwhile()
        self._registry.promote(name, version)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)


class World:
    """Two trainers on one database and one registry, and a model with three versions."""

    def __init__(self, url: str, folder: Path) -> None:
        self.name = f"faultline-lt{uuid4().hex[:12]}"
        self.database = PostgresDatabase(url)
        self.log = self.database.promotion_log()
        self.registry = MemoryRegistry(SystemClock())
        self.hanging = Hanging(self.registry)
        self.broker = MemoryBroker()
        self.broker.create_topics([MODEL_EVENTS])
        run_id = self.registry.log_run(TrainingRun(self.name, "run", {}, [], {}, folder))
        for _ in range(3):
            self.registry.register(self.name, run_id, {"gate": "passed"}, "")
        self.slow = self.promotions(self.hanging)
        self.quick = self.promotions(self.registry)
        self.promote(self.quick, "1")

    def promotions(self, registry: Any) -> Promotions:
        changes = Changes(registry, self.log, self.outbox(), SystemClock())
        return Promotions(registry, self.log, changes, Reconciler(registry, self.log, changes, 1.0))

    def outbox(self) -> Outbox:
        return Outbox(self.log, self.database.gate_log(), Announcer(self.broker))

    def promote(self, promotions: Promotions, version: str) -> object:
        return promotions.promote(self.name, version, actor="ada", reason=f"{version} is better")

    def end_the_turn(self) -> None:
        """End the connection that has the model's lock, as the server or a switch may."""
        with self.database.transaction() as connection:
            ended = connection.scalar(
                text(
                    "SELECT bool_and(pg_terminate_backend(pid, 20000)) FROM pg_locks WHERE "
                    "locktype = 'advisory' AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database()) AND "
                    "objid::bigint = hashtext(:name)::bigint & 4294967295"
                ),
                {"name": self.name},
            )
        assert ended

    def rows(self) -> list[str | None]:
        return [one.to_version for one in self.log.list(self.name)]

    def live(self) -> str | None:
        live = self.registry.production(self.name)
        return None if live is None else live.version


@pytest.fixture
def world(platform: Endpoints, tmp_path: Path) -> Iterator[World]:
    migrate(platform.database_url)
    made = World(platform.database_url, tmp_path)
    yield made
    made.database.dispose()


def test_who_lost_the_turn_before_it_began_changes_nothing(world: World) -> None:
    """The turn is looked at before the deciding write."""
    changes = Changes(world.registry, world.log, world.outbox(), SystemClock())

    def overstay() -> None:
        with changes.turn(world.name):
            world.end_the_turn()
            changes.archive(world.name, "2", actor="ada", reason="worse")

    with pytest.raises(Unavailable):
        overstay()
    assert world.log.unfinished(world.name) == []
    assert world.registry.version(world.name, "2").stage is not Stage.ARCHIVED


def test_of_two_of_whom_one_lost_its_turn_in_the_registry_one_wins(world: World) -> None:
    def overtake() -> None:
        world.hanging.meanwhile = lambda: None
        world.end_the_turn()
        # It completes what the other has begun, then makes its own.
        world.promote(world.quick, "3")

    world.hanging.meanwhile = overtake
    with pytest.raises(TurnTaken, match="while the registry took long"):
        world.promote(world.slow, "2")
    assert world.rows() == ["3", "2", "1"]
    assert world.live() == "3"
    assert world.registry.version(world.name, "2").stage is Stage.ARCHIVED
    world.promote(world.quick, "3")
    assert world.rows() == ["3", "2", "1"]


def test_who_lost_the_turn_to_nobody_is_told_to_ask_again_and_has_what_it_wanted(
    world: World,
) -> None:
    world.hanging.meanwhile = world.end_the_turn
    with pytest.raises(Unavailable):
        world.promote(world.slow, "2")
    world.hanging.meanwhile = lambda: None
    world.promote(world.slow, "2")
    assert (world.rows(), world.live()) == (["2", "1"], "2")
