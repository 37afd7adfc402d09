"""Promotions on the real PostgreSQL, MLflow and Kafka: raced for, and cut off by a kill.

Each test has a model of its own with three versions in Staging.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from mlflow.tracking import MlflowClient

from faultline import events, topics
from faultline.adapters.clock import SystemClock
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.errors import Conflict
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.ports.promotions import Promotion, Turn
from faultline.ports.registry import ModelRegistry, Stage, TrainingRun
from faultline.settings import KafkaSettings, RegistrySettings
from services.trainer.announcer import Announcer
from services.trainer.change import Changes
from services.trainer.outbox import Outbox
from services.trainer.promotion import Promotions
from services.trainer.reconciliation import Reconciler

pytestmark = pytest.mark.real

_PATIENCE_S = 300.0
_AT_ONCE = 4

# A trainer that is killed, by a signal that it cannot catch, as soon as one call has been made.
_DOOMED = """
import os, signal, sys
from faultline.adapters.clock import SystemClock
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.settings import KafkaSettings, RegistrySettings
from services.trainer.announcer import Announcer
from services.trainer.change import Changes
from services.trainer.outbox import Outbox
from services.trainer.promotion import Promotions
from services.trainer.reconciliation import Reconciler

class Deadly:
    def __init__(self, port, fatal):
        self.port, self.fatal = port, fatal
    def __getattr__(self, name):
        method = getattr(self.port, name)
        def call(*given, **named):
            answer = method(*given, **named)
            if name == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return call

database, mlflow, kafka, name, fatal = sys.argv[1:]
registry = MlflowRegistry(RegistrySettings().model_copy(update={"mlflow_tracking_uri": mlflow}))
registry._client, registry._store = Deadly(registry._client, fatal), Deadly(registry._store, fatal)
broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=kafka), client_id="doomed")
registry = Deadly(registry, fatal)
database = PostgresDatabase(database)
log = Deadly(database.promotion_log(), fatal)
outbox = Outbox(log, database.gate_log(), Deadly(Announcer(broker), fatal))
changes = Changes(registry, log, outbox, SystemClock())
promotions = Promotions(registry, log, changes, Reconciler(registry, log, changes, 1.0))
promotions.promote(name, "2", actor="ada", reason="better")
"""


class Trainer(NamedTuple):
    """The part of one that changes Production."""

    promotions: Promotions
    reconciler: Reconciler


class World:
    """The platform, and trainers on connections of their own."""

    def __init__(self, platform: Endpoints) -> None:
        self.platform = platform
        self.database = PostgresDatabase(platform.database_url)
        self.broker = KafkaBroker(
            KafkaSettings(kafka_bootstrap_servers=platform.kafka), client_id="test-promotions"
        )
        self.broker.create_topics(topics.ALL)
        self.registry = self.new_registry()
        self.client = MlflowClient(platform.mlflow, platform.mlflow)
        self.log = self.database.promotion_log()

    def new_registry(self) -> MlflowRegistry:
        return MlflowRegistry(
            RegistrySettings(MLFLOW_TRACKING_URI=self.platform.mlflow, mlflow_timeout_s=20.0)
        )

    def trainer(self, log: Any = None, registry: ModelRegistry | None = None) -> Trainer:
        log, registry = log or self.log, registry or self.registry
        outbox = Outbox(log, self.database.gate_log(), Announcer(self.broker))
        changes = Changes(registry, log, outbox, SystemClock())
        reconciler = Reconciler(registry, log, changes, 1.0)
        return Trainer(Promotions(registry, log, changes, reconciler), reconciler)

    def production(self, name: str) -> str | None:
        live = self.registry.production(name)
        return None if live is None else live.version

    def stages(self, name: str) -> dict[str, Stage]:
        return {one.version: one.stage for one in self.registry.versions(name)}

    def rows(self, name: str) -> list[tuple[str | None, str | None, str]]:
        return [(one.to_version, one.from_version, str(one.kind)) for one in self.log.list(name)]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Events of a model, each once, in order."""
        found = {
            event.event_id: (str(event.kind), event.model_version)
            for number in range(topics.MODEL_EVENTS.partitions)
            for message in self.broker.read(Partition(topics.MODEL_EVENTS.name, number))
            for event in [events.decode(message.value)]
            if event.model_name == name
        }
        return list(found.values())


@pytest.fixture(scope="module")
def world(platform: Endpoints) -> Iterator[World]:
    migrate(platform.database_url)
    made = World(platform)
    yield made
    made.broker.close()
    made.database.dispose()


@pytest.fixture
def name(world: World, tmp_path: Path) -> str:
    """A model whose first version is in Production; the gate refused the third."""
    name = f"faultline-pr{uuid4().hex[:12]}"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    run_id = world.registry.log_run(TrainingRun(name, "run", {}, [], {}, tmp_path))
    for gate in ("passed", "passed", "refused"):
        world.registry.register(name, run_id, {"gate": gate, "gate_reason": "because"}, "")
    world.trainer().promotions.promote(name, "1", actor="ada", reason="the first")
    return name


class Together:
    """A log before whose first turn several wait for each other."""

    def __init__(self, database: PostgresDatabase, all_here: threading.Barrier) -> None:
        self._log = database.promotion_log()
        self._all_here: threading.Barrier | None = all_here

    def turn(self, model_name: str) -> AbstractContextManager[Turn]:
        if self._all_here is not None:
            self._all_here.wait(_PATIENCE_S)
            self._all_here = None
        return self._log.turn(model_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_of_several_promoters_at_once_one_wins_and_the_others_are_told(
    world: World, name: str
) -> None:
    all_here = threading.Barrier(_AT_ONCE)
    databases = [PostgresDatabase(world.platform.database_url) for _ in range(_AT_ONCE)]

    def attempt(number: int) -> Promotion | Conflict:
        log = Together(databases[number], all_here)
        trainer = world.trainer(log, world.new_registry())
        version = "23"[number % 2]
        try:
            return trainer.promotions.promote(name, version, actor=f"p{number}", reason="mine")
        except Conflict as error:
            return error

    try:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            outcomes = list(threads.map(attempt, range(_AT_ONCE)))
    finally:
        for database in databases:
            database.dispose()
    winners = [one for one in outcomes if isinstance(one, Promotion)]
    live = world.production(name)
    # Who asked for what the winner made has nothing to complain of.
    assert {one.promotion_id for one in winners} == {world.log.list(name)[0].promotion_id}
    assert {one.to_version for one in winners} == {live}
    told = " ".join(str(one) for one in outcomes if isinstance(one, Conflict))
    assert "at this moment" in told or "at the same time" in told
    assert world.rows(name) == [(live, "1", "promotion"), ("1", None, "promotion")]
    assert [one for one, stage in world.stages(name).items() if stage is Stage.PRODUCTION] == [live]


@pytest.mark.parametrize(
    "fatal",
    ["begin", "set_registered_model_alias", "promote", "finish", "announce", "mark_announced"],
)
def test_a_promotion_whose_trainer_is_killed_is_completed_by_the_next_look_of_another(
    world: World, name: str, fatal: str
) -> None:
    place = world.platform
    doomed = subprocess.run(
        [
            *(sys.executable, "-c", _DOOMED),
            *(place.database_url, place.mlflow, place.kafka, name, fatal),
        ],
        timeout=_PATIENCE_S,
        check=False,
    )
    assert doomed.returncode == -signal.SIGKILL
    live = world.log.live_at(name, SystemClock().now_ms())
    assert live is not None
    moved = fatal not in {"begin", "set_registered_model_alias", "promote"}
    assert live.to_version == ("2" if moved else "1")

    world.trainer().reconciler.look()
    assert world.production(name) == "2"
    assert world.stages(name) == {
        "3": Stage.STAGING,
        "2": Stage.PRODUCTION,
        "1": Stage.ARCHIVED,
    }
    assert world.rows(name) == [("2", "1", "promotion"), ("1", None, "promotion")]
    assert world.told(name) == [("promoted", "1"), ("promoted", "2"), ("archived", "1")]
    assert world.log.unfinished(name) == []


def test_what_was_cut_off_is_taken_back_when_its_version_was_deleted(
    world: World, name: str
) -> None:
    place = world.platform
    subprocess.run(
        [
            *(sys.executable, "-c", _DOOMED),
            *(place.database_url, place.mlflow, place.kafka, name, "begin"),
        ],
        timeout=_PATIENCE_S,
        check=False,
    )
    assert [one.to_version for one in world.log.unfinished(name)] == ["2"]
    world.client.delete_model_version(name, "2")
    world.trainer().reconciler.look()
    assert world.log.unfinished(name) == []
    assert world.rows(name) == [("1", None, "promotion")]
    assert world.production(name) == "1"


def test_an_alias_that_was_moved_by_hand_is_recorded_and_the_stages_follow(
    world: World, name: str
) -> None:
    world.client.set_registered_model_alias(name, "production", "3")
    world.trainer().reconciler.look()
    assert world.rows(name)[0] == ("3", "1", "external")
    row = world.log.list(name)[0]
    assert (row.actor, row.gate, row.gate_reason) == ("external", "refused", "because")
    assert world.stages(name)["3"] is Stage.PRODUCTION
    assert world.stages(name)["1"] is Stage.ARCHIVED
    assert world.told(name)[-2:] == [("promoted", "3"), ("archived", "1")]


@pytest.mark.filterwarnings("ignore:.*transition_model_version_stage:FutureWarning")
@pytest.mark.parametrize("archive_existing", [False, True])
def test_a_stage_that_was_set_by_hand_moves_the_alias(
    world: World, name: str, archive_existing: bool
) -> None:
    world.client.transition_model_version_stage(
        name, "2", "Production", archive_existing_versions=archive_existing
    )
    for _ in range(2):
        world.trainer().reconciler.look()
    assert world.production(name) == "2"
    assert world.rows(name) == [("2", "1", "external"), ("1", None, "promotion")]
    assert world.stages(name)["1"] is Stage.ARCHIVED
    assert world.told(name) == [("promoted", "1"), ("promoted", "2"), ("archived", "1")]


def test_an_alias_that_was_removed_by_hand_leaves_production_empty(world: World, name: str) -> None:
    world.client.delete_registered_model_alias(name, "production")
    world.trainer().reconciler.look()
    assert world.rows(name)[0] == (None, "1", "external")
    assert world.log.live_at(name, SystemClock().now_ms()) is None
    assert world.stages(name)["1"] is Stage.ARCHIVED


@pytest.mark.parametrize("whole", [True, False], ids=["model", "version"])
def test_what_was_deleted_by_hand_leaves_production_empty(
    world: World, name: str, whole: bool
) -> None:
    if whole:
        world.client.delete_registered_model(name)
    else:
        world.client.delete_model_version(name, "1")
    for _ in range(2):
        world.trainer().reconciler.look()
    assert world.rows(name) == [(None, "1", "external"), ("1", None, "promotion")]
    assert world.log.live_at(name, SystemClock().now_ms()) is None
    assert world.told(name) == [("promoted", "1"), ("archived", "1")]


def test_a_rollback_brings_an_archived_version_back(world: World, name: str) -> None:
    promotions = world.trainer().promotions
    promotions.promote(name, "2", actor="ada", reason="better")
    promotions.roll_back(name, None, actor="eve", reason="cries wolf")
    assert world.production(name) == "1"
    assert world.stages(name)["2"] is Stage.ARCHIVED
    assert world.rows(name)[0] == ("1", "2", "rollback")
    assert world.told(name)[-2:] == [("rolled_back", "1"), ("archived", "2")]
