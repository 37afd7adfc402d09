import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import NotFound, Unavailable
from faultline.events import ModelEventKind
from faultline.ports.promotions import PromotionKind
from faultline.ports.registry import Stage, TrainingRun

NAME = "faultline-pump"


@pytest.fixture
def world(make_world: Any, tmp_path: Path) -> Any:
    """Three versions, the first in Production; the gate refused the third."""
    made = make_world()
    run_id = made.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    for gate in ("passed", "passed", "refused"):
        made.registry.register(NAME, run_id, {"gate": gate, "gate_reason": "because"}, "")
    made.trainer.promotions.promote(NAME, "1", actor="ada", reason="better")
    return made


def by_hand(world: Any, version: str, **changes: Any) -> None:
    """Change a version as a client of the registry does that knows nothing of Faultline."""
    registry = world.registry.port
    registry._keep(replace(registry.version(NAME, version), **changes))


def move_alias(world: Any, version: str | None, alias: str = "production") -> None:
    world.registry.port._move_alias(NAME, alias, version)


def look(world: Any) -> None:
    world.trainer.reconciler.look()


def rows(world: Any) -> list[tuple[str | None, str | None, str]]:
    return [(row.to_version, row.from_version, str(row.kind)) for row in world.log.list(NAME)]


def stages(world: Any) -> dict[str, str]:
    return {one.version: str(one.stage) for one in world.registry.versions(NAME)}


def test_an_alias_that_was_moved_is_recorded_and_the_stages_follow_it(world: Any) -> None:
    move_alias(world, "3")
    look(world)
    assert rows(world) == [("3", "1", "external"), ("1", None, "promotion")]
    row = world.log.list(NAME)[0]
    assert (row.actor, row.gate, row.gate_reason) == ("external", "refused", "because")
    assert "the gate has refused it" in row.reason
    assert world.registry.version(NAME, "3").tags["external"] == row.reason
    assert stages(world) == {"3": "Production", "2": "Staging", "1": "Archived"}
    assert [(one.kind, one.model_version, one.actor) for one in world.events()[-2:]] == [
        (ModelEventKind.PROMOTED, "3", "external"),
        (ModelEventKind.ARCHIVED, "1", "external"),
    ]


def test_what_was_noticed_once_is_not_noticed_again(world: Any) -> None:
    move_alias(world, "2")
    for _ in range(3):
        look(world)
    assert len(rows(world)) == 2
    assert len(world.events()) == 3


def test_a_version_that_no_gate_has_judged_is_said_to_be_so(world: Any) -> None:
    by_hand(world, "2", tags={"stage": "Staging"})
    move_alias(world, "2")
    look(world)
    row = world.log.list(NAME)[0]
    assert row.gate is None
    assert "no gate has judged it" in row.reason


@pytest.mark.parametrize("former", [Stage.PRODUCTION, Stage.ARCHIVED])
def test_a_stage_that_was_set_by_hand_moves_the_alias(world: Any, former: Stage) -> None:
    by_hand(world, "2", stage=Stage.PRODUCTION)
    by_hand(world, "1", stage=former)
    look(world)
    assert world.registry.production(NAME).version == "2"
    assert rows(world)[0] == ("2", "1", "external")
    assert stages(world) == {"3": "Staging", "2": "Production", "1": "Archived"}
    look(world)
    assert len(rows(world)) == 2
    archived = [one for one in world.events() if one.kind is ModelEventKind.ARCHIVED]
    assert [one.model_version for one in archived] == ["1"]


def test_where_alias_and_stage_were_moved_to_different_versions_the_alias_is_the_truth(
    world: Any,
) -> None:
    by_hand(world, "2", stage=Stage.PRODUCTION)
    move_alias(world, "3")
    look(world)
    assert world.registry.production(NAME).version == "3"
    assert stages(world) == {"3": "Production", "2": "Archived", "1": "Archived"}
    assert rows(world)[0] == ("3", "1", "external")


def test_an_alias_that_was_removed_leaves_production_empty(world: Any) -> None:
    before_ms = world.clock.now_ms()
    move_alias(world, None)
    look(world)
    assert rows(world)[0] == (None, "1", "external")
    assert stages(world)["1"] == "Archived"
    assert world.log.live_at(NAME, before_ms).to_version == "1"
    assert world.log.live_at(NAME, world.clock.now_ms()) is None
    assert (world.events()[-1].kind, world.events()[-1].model_version) == (
        ModelEventKind.ARCHIVED,
        "1",
    )
    world.trainer.promotions.promote(NAME, "2", actor="ada", reason="again one")
    assert rows(world)[0] == ("2", None, "promotion")


@pytest.mark.parametrize("whole", [True, False], ids=["model", "version"])
def test_what_was_deleted_in_production_leaves_it_empty(world: Any, whole: bool) -> None:
    before_ms = world.clock.now_ms()
    if whole:
        del world.registry.port._versions[NAME]
    else:
        del world.registry.port._versions[NAME]["1"]
    for _ in range(3):
        look(world)
    assert rows(world) == [(None, "1", "external"), ("1", None, "promotion")]
    what = "the model was deleted" if whole else "version 1 was deleted"
    assert world.log.list(NAME)[0].reason == f"{what} by another client of the registry"
    last = world.events()[-1]
    assert (last.kind, last.model_version) == (ModelEventKind.ARCHIVED, "1")
    assert last.reason.startswith(what)
    history = f"/api/v1/ml/models/{NAME}/history"
    then = world.http.get(history, params={"at": before_ms}).json()["live"]
    assert then["version"] == "1"
    assert world.http.get(history, params={"at": world.clock.now_ms()}).json()["live"] is None


def test_a_model_that_was_deleted_can_be_made_anew(world: Any, tmp_path: Path) -> None:
    del world.registry.port._versions[NAME]
    look(world)
    run_id = world.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    world.registry.register(NAME, run_id, {"gate": "passed"}, "")
    world.trainer.promotions.promote(NAME, "1", actor="ada", reason="anew")
    assert rows(world)[0] == ("1", None, "promotion")


def test_the_stage_of_the_version_in_production_is_set_back_to_what_the_alias_says(
    world: Any,
) -> None:
    by_hand(world, "1", stage=Stage.ARCHIVED)
    look(world)
    assert stages(world)["1"] == "Production"
    assert len(rows(world)) == 1


def test_a_stage_of_ours_that_was_left_behind_moves_nothing(world: Any) -> None:
    tags = {**world.registry.version(NAME, "2").tags, "stage": "Production"}
    by_hand(world, "2", stage=Stage.PRODUCTION, tags=tags)
    look(world)
    assert world.registry.production(NAME).version == "1"
    assert stages(world)["2"] == "Archived"
    assert len(rows(world)) == 1


def test_a_challenger_that_was_named_by_hand_gets_the_stage(world: Any) -> None:
    world.trainer.promotions.move(
        NAME, "2", Stage.ARCHIVED, actor="ada", reason="worse", force=False
    )
    move_alias(world, "2", "staging")
    look(world)
    assert stages(world)["2"] == "Staging"
    assert world.registry.version(NAME, "2").tags["stage"] == "Staging"


def test_a_version_that_was_staged_by_hand_becomes_the_challenger(world: Any) -> None:
    world.registry.port.set_stage(NAME, "2", Stage.ARCHIVED)
    by_hand(world, "2", stage=Stage.STAGING)
    look(world)
    assert world.registry.version(NAME, "2").aliases == {"staging"}


def test_a_challenger_that_was_archived_by_hand_is_none_any_more(world: Any) -> None:
    assert world.registry.version(NAME, "3").aliases == {"staging"}
    by_hand(world, "3", stage=Stage.ARCHIVED)
    for _ in range(2):
        look(world)
    assert world.registry.version(NAME, "3").aliases == frozenset()
    archived = [one for one in world.events() if one.kind is ModelEventKind.ARCHIVED]
    assert [(one.model_version, one.actor) for one in archived] == [("3", "external")]


def test_a_model_in_order_is_left_alone(world: Any) -> None:
    world.registry.calls.clear()
    world.log.calls.clear()
    look(world)
    assert set(world.registry.calls) == {"models", "versions"}
    assert "turn" not in world.log.calls


def test_a_model_that_another_is_changing_is_left_to_the_next_look(world: Any) -> None:
    move_alias(world, "2")
    with world.log.turn(NAME):
        look(world)
    assert len(rows(world)) == 1
    look(world)
    assert len(rows(world)) == 2


def test_a_model_that_makes_trouble_does_not_keep_others_waiting(
    world: Any, tmp_path: Path
) -> None:
    run_id = world.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    world.registry.register("faultline-fan", run_id, {}, "")
    world.registry.port._move_alias("faultline-fan", "production", "1")
    move_alias(world, "2")
    # Of the fan, which comes first.
    world.registry.plan("promote", NotFound("gone in between"))
    look(world)
    assert rows(world)[0] == ("2", "1", "external")


def test_versions_from_before_the_log_are_taken_over_as_they_are(
    make_world: Any, tmp_path: Path
) -> None:
    world = make_world()
    run_id = world.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    world.registry.register(NAME, run_id, {"gate": "passed"}, "")
    world.registry.port.promote(NAME, "1")
    look(world)
    assert rows(world) == [("1", None, "external")]


def test_a_trainer_looks_again_and_again_and_outlives_an_outage(world: Any) -> None:
    reconciler = world.trainer.reconciler
    reconciler._every_s = 0.001
    world.registry.plan("models", Unavailable("down"), Unavailable("down"))
    stop = threading.Event()
    thread = threading.Thread(target=reconciler.run, args=(stop,))
    thread.start()
    try:
        move_alias(world, "2")
        deadline = threading.Event()
        for _ in range(2_000):
            if len(rows(world)) == 2:
                break
            deadline.wait(0.005)
    finally:
        stop.set()
        thread.join(10)
    assert rows(world)[0] == ("2", "1", "external")
    assert PromotionKind.EXTERNAL in {row.kind for row in world.log.list(NAME)}
