import doctest
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import Conflict, NotFound
from faultline.events import ModelEventKind
from faultline.ports.promotions import PromotionKind
from faultline.ports.registry import Stage, TrainingRun
from services.trainer import rollback

NAME = "faultline-pump"


@pytest.fixture
def world(make_world: Any, tmp_path: Path) -> Any:
    """Five versions: the gate passed all but the third; the first three were live in turn."""
    made = make_world()
    run_id = made.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    for gate in ("passed", "passed", "refused", "passed", "passed"):
        made.registry.register(NAME, run_id, {"gate": gate, "gate_reason": "because"}, "")
    for version in ("1", "2", "3"):
        made.trainer.promotions.promote(NAME, version, actor="ada", reason="better")
    return made


def roll_back(world: Any, to: str | None = None) -> Any:
    return world.trainer.promotions.roll_back(NAME, to, actor="eve", reason="cries wolf")


def live(world: Any) -> str:
    return str(world.registry.production(NAME).version)


def test_a_rollback_goes_to_the_version_before_and_is_a_promotion_with_a_reason(world: Any) -> None:
    move = roll_back(world)
    assert (move.version.version, move.previous_version) == ("2", "3")
    assert world.registry.version(NAME, "2").stage is Stage.PRODUCTION
    assert world.registry.version(NAME, "3").stage is Stage.ARCHIVED
    row = world.log.list(NAME)[0]
    assert (row.kind, row.actor, row.reason) == (PromotionKind.ROLLBACK, "eve", "cries wolf")
    assert [(one.kind, one.model_version) for one in world.events()[-2:]] == [
        (ModelEventKind.ROLLED_BACK, "2"),
        (ModelEventKind.ARCHIVED, "3"),
    ]
    assert world.events()[-2].previous_version == "3"


def test_a_second_rollback_goes_further_back(world: Any) -> None:
    roll_back(world)
    roll_back(world)
    assert live(world) == "1"
    with pytest.raises(Conflict, match=r"version 1 was the first in Production.*name one: 2, 3"):
        roll_back(world)
    assert live(world) == "1"


def test_a_promotion_after_a_rollback_can_be_rolled_back_too(world: Any) -> None:
    roll_back(world, "1")
    world.trainer.promotions.promote(NAME, "4", actor="ada", reason="better")
    roll_back(world)
    assert live(world) == "1"


def test_the_gate_is_not_asked_again_but_what_it_said_is_kept(world: Any) -> None:
    world.trainer.promotions.promote(NAME, "4", actor="ada", reason="better")
    roll_back(world)
    assert live(world) == "3"
    row = world.log.list(NAME)[0]
    assert (row.gate, row.gate_reason, row.forced) == ("refused", "because", False)


def test_any_earlier_version_can_be_named(world: Any) -> None:
    roll_back(world, "1")
    assert live(world) == "1"
    roll_back(world, "3")
    assert live(world) == "3"


def test_the_same_rollback_again_is_harmless(world: Any) -> None:
    first = roll_back(world, "2")
    again = roll_back(world, "2")
    assert (first.changed, again.changed) == (True, False)
    assert again == first._replace(changed=False)
    assert len(world.log.list(NAME)) == 4


def test_the_version_that_is_there_is_none_to_go_back_to(world: Any) -> None:
    with pytest.raises(Conflict, match="in Production already"):
        roll_back(world, "3")


@pytest.mark.parametrize("later", ["4", "5"])
def test_a_version_that_was_never_live_is_no_way_back(world: Any, later: str) -> None:
    with pytest.raises(Conflict, match="never in Production"):
        roll_back(world, later)
    assert live(world) == "3"


def test_an_earlier_version_that_the_gate_passed_is(world: Any) -> None:
    world.trainer.promotions.promote(NAME, "5", actor="ada", reason="better")
    roll_back(world, "4")
    assert live(world) == "4"


def test_without_an_earlier_version_there_is_no_rollback(make_world: Any, tmp_path: Path) -> None:
    world = make_world()
    run_id = world.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    world.registry.register(NAME, run_id, {"gate": "passed"}, "")
    with pytest.raises(Conflict, match="no version of faultline-pump to roll back to"):
        roll_back(world)
    world.trainer.promotions.promote(NAME, "1", actor="ada", reason="")
    with pytest.raises(Conflict, match="no version of faultline-pump to roll back to"):
        roll_back(world)


def test_an_unknown_version_is_not_found(world: Any) -> None:
    with pytest.raises(NotFound):
        roll_back(world, "9")
    with pytest.raises(NotFound):
        world.trainer.promotions.roll_back("faultline-fan", None, actor="eve", reason="x")


def test_a_version_that_is_gone_is_passed_over(world: Any) -> None:
    versions = world.registry.port.versions
    world.registry.port.versions = lambda name: [
        one for one in versions(name) if one.version != "2"
    ]
    roll_back(world)
    assert live(world) == "1"


def test_the_examples() -> None:
    assert doctest.testmod(rollback).failed == 0
