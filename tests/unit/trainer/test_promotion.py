from pathlib import Path
from typing import Any

import pytest

from faultline.errors import Conflict, NotFound, Unavailable
from faultline.events import ModelEventKind
from faultline.ports.jobs import Promotion
from faultline.ports.registry import Stage, TrainingRun

NAME = "faultline-pump"


@pytest.fixture
def world(make_world: Any, tmp_path: Path) -> Any:
    """Three versions in Staging: the gate passed two and refused the third."""
    made = make_world()
    run_id = made.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    for gate in ("passed", "passed", "refused"):
        tags = {"gate": gate, "gate_reason": "silhouette 0.010, at least 0.1 asked for"}
        made.registry.register(NAME, run_id, tags, "")
    return made


def promote(world: Any, version: str, once_for: str | None = None) -> Promotion:
    promotion = world.trainer.promotions.promote(
        NAME, version, actor="ada", reason="better", once_for=once_for
    )
    assert isinstance(promotion, Promotion)
    return promotion


def rows(world: Any) -> list[tuple[str, str | None]]:
    return [(row.to_version, row.from_version) for row in world.log.list(NAME)]


def told(world: Any) -> list[tuple[str, str]]:
    """Events without the repeated ones."""
    unique = {one.event_id: (str(one.kind), one.model_version) for one in world.events()}
    return sorted(unique.values())


def test_the_first_promotion_follows_none(world: Any) -> None:
    promotion = promote(world, "1")
    assert rows(world) == [("1", None)]
    assert (promotion.actor, promotion.reason) == ("ada", "better")
    assert told(world) == [("promoted", "1")]


def test_the_next_one_archives_the_one_before(world: Any) -> None:
    promote(world, "1")
    promote(world, "2")
    assert rows(world) == [("2", "1"), ("1", None)]
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]
    assert world.events()[-2].previous_version == "1"


def test_the_same_version_can_come_back(world: Any) -> None:
    for version in ("1", "2", "1", "2"):
        promote(world, version)
    assert [to for to, _ in rows(world)] == ["2", "1", "2", "1"]
    assert len({row.promotion_id for row in world.log.list(NAME)}) == 4


def test_a_clock_that_was_set_back_does_not_put_the_newest_promotion_behind(world: Any) -> None:
    promote(world, "1")
    world.clock.ms -= 3_600_000
    for version in ("2", "1"):
        promote(world, version)
        assert world.registry.production(NAME).version == version
    assert rows(world) == [("1", "2"), ("2", "1"), ("1", None)]


def test_promoting_again_is_no_change(world: Any) -> None:
    assert promote(world, "1") == promote(world, "1")
    assert rows(world) == [("1", None)]
    assert told(world) == [("promoted", "1")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("once_for", [None, "job-1"])
@pytest.mark.parametrize(("port", "call"), [("registry", "promote"), ("log", "append")])
def test_what_was_cut_off_is_completed_by_asking_again(
    world: Any, port: str, call: str, once_for: str | None, after: bool
) -> None:
    promote(world, "1")
    getattr(world, port).plan(call, Unavailable("gone"), after=after)
    with pytest.raises(Unavailable):
        promote(world, "2", once_for)
    promote(world, "2", once_for)
    assert rows(world) == [("2", "1"), ("1", None)]
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]


def test_an_event_that_could_not_be_sent_is_sent_by_asking_again(world: Any) -> None:
    promote(world, "1")
    world.broker.flaky.plan("send", Unavailable("gone"))
    with pytest.raises(Unavailable):
        promote(world, "2")
    promote(world, "2")
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]


def test_a_version_that_another_client_put_there_is_the_one_before(world: Any) -> None:
    promote(world, "1")
    world.registry.port.promote(NAME, "3")
    promote(world, "2")
    assert rows(world)[0] == ("2", "3")


def test_what_another_client_undid_is_promoted_anew(world: Any) -> None:
    promote(world, "1")
    world.registry.port.promote(NAME, "3")
    promote(world, "1")
    assert rows(world) == [("1", "3"), ("1", None)]


def test_a_jobs_promotion_is_done_once(world: Any) -> None:
    promote(world, "1", once_for="job-1")
    promote(world, "2")
    promote(world, "1", once_for="job-1")
    assert world.registry.production(NAME).version == "2"
    assert len(rows(world)) == 2


def test_a_version_that_is_not_there_changes_nothing(world: Any) -> None:
    promote(world, "1")
    with pytest.raises(NotFound):
        promote(world, "9")
    assert rows(world) == [("1", None)]
    assert told(world) == [("promoted", "1")]


def move(world: Any, version: str, stage: Stage, force: bool = False) -> Any:
    return world.trainer.promotions.move(
        NAME, version, stage, actor="ada", reason="why not", force=force
    )


def test_a_refused_version_is_not_moved_into_production(world: Any) -> None:
    with pytest.raises(Conflict, match=r"the gate has refused it: silhouette 0\.010"):
        move(world, "3", Stage.PRODUCTION)
    assert world.registry.production(NAME) is None


def test_a_version_that_nobody_judged_is_not_moved_into_production(
    world: Any, tmp_path: Path
) -> None:
    run_id = world.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    world.registry.register(NAME, run_id, {}, "")
    with pytest.raises(Conflict, match="no gate has judged it"):
        move(world, "4", Stage.PRODUCTION)


def test_a_refused_version_can_be_forced(world: Any) -> None:
    promote(world, "1")
    moved = move(world, "3", Stage.PRODUCTION, force=True)
    assert (moved.version.stage, moved.previous_version) == (Stage.PRODUCTION, "1")
    assert world.log.list(NAME)[0].reason == "why not"


def test_production_is_never_left_empty(world: Any) -> None:
    promote(world, "1")
    for stage in (Stage.STAGING, Stage.ARCHIVED, Stage.NONE):
        with pytest.raises(Conflict, match="promote another version"):
            move(world, "1", stage)
    assert world.registry.production(NAME).version == "1"


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.NONE])
def test_a_move_beside_production_is_no_promotion(world: Any, stage: Stage) -> None:
    moved = move(world, "2", stage)
    assert (moved.version.stage, moved.promotion_id) == (stage, None)
    assert rows(world) == []
    assert world.events() == []


def test_archiving_is_announced(world: Any) -> None:
    move(world, "2", Stage.ARCHIVED)
    assert [one.kind for one in world.events()] == [ModelEventKind.ARCHIVED]
