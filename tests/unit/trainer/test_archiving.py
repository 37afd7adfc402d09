"""A version beside Production is archived: never without its event, however it is cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import Unavailable
from faultline.events import ModelEventKind
from faultline.ports.registry import Stage, TrainingRun

NAME = "faultline-pump"
STEPS = [("log", "begin"), ("registry", "set_stage"), ("log", "finish"), ("log", "mark_announced")]


class Killed(BaseException):
    """What a process does not survive: nothing catches it."""


@pytest.fixture
def world(make_world: Any, tmp_path: Path) -> Any:
    """Two versions, the first in Production."""
    made = make_world()
    run_id = made.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    for _ in range(2):
        made.registry.register(NAME, run_id, {"gate": "passed"}, "")
    made.trainer.promotions.promote(NAME, "1", actor="ada", reason="the first")
    return made


def archive(world: Any) -> None:
    world.trainer.promotions.move(
        NAME, "2", Stage.ARCHIVED, actor="ada", reason="worse", force=False
    )


def archive_by_hand(world: Any) -> None:
    registry = world.registry.port
    registry._keep(replace(registry.version(NAME, "2"), stage=Stage.ARCHIVED))
    world.trainer.reconciler.look()


def told(world: Any) -> list[tuple[str, str, str]]:
    """Who archived what, and why; each event once."""
    unique = {
        one.event_id: (one.model_version, one.actor, one.reason)
        for one in world.events()
        if one.kind is ModelEventKind.ARCHIVED
    }
    return list(unique.values())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), STEPS)
@pytest.mark.parametrize("way", [archive, archive_by_hand])
def test_what_was_cut_off_is_completed_and_told_once(
    world: Any, way: Any, port: str, call: str, after: bool
) -> None:
    getattr(world, port).plan(call, Killed(), after=after)
    with pytest.raises(Killed):
        way(world)
    for _ in range(2):
        world.start().reconciler.look()
    if call == "begin" and not after and way is archive:
        # It was not written down: it is asked for again.
        archive(world)
    by_hand = ("2", "external", "archived by another client of the registry")
    assert told(world) == [by_hand if way is archive_by_hand else ("2", "ada", "worse")]
    assert world.registry.version(NAME, "2").stage is Stage.ARCHIVED
    assert world.registry.version(NAME, "2").aliases == frozenset()
    assert world.log.unfinished() == []


def test_an_event_that_could_not_be_sent_is_sent_later(world: Any) -> None:
    world.broker.flaky.plan("send", Unavailable("no broker"))
    archive(world)
    assert told(world) == []
    world.trainer.reconciler.look()
    assert told(world) == [("2", "ada", "worse")]


def test_it_is_no_change_of_production(world: Any) -> None:
    archive(world)
    assert [one.to_version for one in world.log.list(NAME)] == ["1"]
    assert world.log.live_at(NAME, world.clock.now_ms()).to_version == "1"
    assert world.log.live_models() == [NAME]


def test_what_was_begun_is_taken_back_when_the_version_is_in_production_by_now(world: Any) -> None:
    world.registry.plan("set_stage", Killed())
    with pytest.raises(Killed):
        archive(world)
    world.registry.port._move_alias(NAME, "production", "2")
    world.trainer.reconciler.look()
    assert world.registry.production(NAME).version == "2"
    assert [one[0] for one in told(world)] == ["1"]
    assert world.log.unfinished() == []
