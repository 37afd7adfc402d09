from pathlib import Path
from typing import Any

import pytest

from faultline.errors import Conflict, NotFound, Unavailable
from faultline.events import ModelEventKind
from faultline.ports.promotions import Promotion, PromotionKind, TurnTaken
from faultline.ports.registry import Stage, TrainingRun

NAME = "faultline-pump"


class Killed(BaseException):
    """What a process does not survive: nothing catches it."""


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
    assert promote(world, "1").promotion_id == promote(world, "1").promotion_id
    assert rows(world) == [("1", None)]
    assert told(world) == [("promoted", "1")]


STEPS = [("log", "begin"), ("registry", "promote"), ("log", "finish"), ("log", "mark_announced")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("once_for", [None, "job-1"])
@pytest.mark.parametrize(("port", "call"), STEPS)
def test_what_was_cut_off_is_completed_by_asking_again(
    world: Any, port: str, call: str, once_for: str | None, after: bool
) -> None:
    promote(world, "1")
    getattr(world, port).plan(call, Killed(), after=after)
    with pytest.raises(Killed):
        promote(world, "2", once_for)
    promote(world, "2", once_for)
    assert rows(world) == [("2", "1"), ("1", None)]
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), STEPS[1:])
def test_what_was_cut_off_is_completed_without_anybody_asking(
    world: Any, port: str, call: str, after: bool
) -> None:
    promote(world, "1")
    getattr(world, port).plan(call, Killed(), after=after)
    with pytest.raises(Killed):
        promote(world, "2")
    world.start().reconciler.look()
    assert rows(world) == [("2", "1"), ("1", None)]
    assert world.registry.production(NAME).version == "2"
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]
    assert world.log.unfinished() == []


def test_what_was_not_written_down_never_happens(world: Any) -> None:
    promote(world, "1")
    world.log.plan("begin", Killed())
    with pytest.raises(Killed):
        promote(world, "2")
    world.start().reconciler.look()
    assert rows(world) == [("1", None)]
    assert world.registry.production(NAME).version == "1"


def test_the_history_does_not_claim_what_has_not_happened(world: Any) -> None:
    promote(world, "1")
    world.registry.plan("promote", Killed())
    with pytest.raises(Killed):
        promote(world, "2")
    live = world.log.live_at(NAME, world.clock.now_ms())
    assert (live.to_version, rows(world)) == ("1", [("1", None)])
    cut_off_ms = world.clock.now_ms()
    world.start().reconciler.look()
    # It was live from when it was completed on, not from when somebody wanted it.
    assert world.log.live_at(NAME, cut_off_ms).to_version == "1"
    assert world.log.live_at(NAME, world.clock.now_ms()).to_version == "2"


def test_a_promotion_that_was_made_but_not_written_down_counts_from_when_it_was_made(
    world: Any,
) -> None:
    promote(world, "1")
    world.registry.plan("promote", Killed(), after=True)
    with pytest.raises(Killed):
        promote(world, "2")
    cut_off_ms = world.clock.now_ms()
    world.start().reconciler.look()
    assert world.log.live_at(NAME, cut_off_ms).to_version == "2"


def test_what_was_cut_off_is_taken_back_when_its_version_is_gone(world: Any) -> None:
    promote(world, "1")
    world.registry.plan("promote", Killed(), NotFound("somebody deleted it"))
    with pytest.raises(Killed):
        promote(world, "2")
    world.start().reconciler.look()
    assert rows(world) == [("1", None)]
    assert world.log.unfinished() == []
    assert world.registry.production(NAME).version == "1"


def test_what_was_cut_off_is_taken_back_when_another_version_is_live_by_now(world: Any) -> None:
    promote(world, "1")
    world.registry.plan("promote", Killed())
    with pytest.raises(Killed):
        promote(world, "2")
    world.registry.port.promote(NAME, "3")
    world.start().reconciler.look()
    assert rows(world) == [("3", "1"), ("1", None)]
    assert world.registry.production(NAME).version == "3"


def test_what_was_cut_off_comes_before_what_is_asked_for_next(world: Any) -> None:
    promote(world, "1")
    world.registry.plan("promote", Killed())
    with pytest.raises(Killed):
        promote(world, "2")
    promote(world, "3")
    assert rows(world) == [("3", "2"), ("2", "1"), ("1", None)]


def test_a_registry_that_refuses_leaves_everything_as_it_was(world: Any) -> None:
    promote(world, "1")
    world.registry.plan("promote", Conflict("MLflow will not"))
    with pytest.raises(Conflict, match="MLflow will not"):
        promote(world, "2")
    assert rows(world) == [("1", None)]
    assert world.log.unfinished(NAME) == []


def test_an_event_that_could_not_be_sent_is_sent_later_and_holds_nothing_up(world: Any) -> None:
    promote(world, "1")
    world.broker.flaky.plan("send", Unavailable("gone"))
    promote(world, "2")
    assert rows(world) == [("2", "1"), ("1", None)]
    assert told(world) == [("promoted", "1")]
    world.trainer.reconciler.look()
    assert told(world) == [("archived", "1"), ("promoted", "1"), ("promoted", "2")]


def in_the_middle(world: Any, port: str, call: str, do: Any) -> None:
    """Let something else happen just before a call that is on its way."""
    flaky = getattr(world, port).port
    original = getattr(flaky, call)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        setattr(flaky, call, original)
        do()
        return original(*args, **kwargs)

    setattr(flaky, call, interrupted)


def test_who_comes_while_another_is_at_it_is_told_so(world: Any) -> None:
    refused: list[TurnTaken] = []

    def second() -> None:
        with pytest.raises(TurnTaken, match="at this moment") as caught:
            world.start().promotions.promote(NAME, "2", actor="bob", reason="")
        refused.append(caught.value)

    in_the_middle(world, "registry", "promote", second)
    promote(world, "1")
    assert len(refused) == 1
    assert rows(world) == [("1", None)]


def test_who_has_looked_before_another_was_done_is_told_so(world: Any) -> None:
    promote(world, "1")
    other = world.start().promotions
    in_the_middle(
        world,
        "log",
        "turn",
        lambda: other.promote(NAME, "3", actor="bob", reason="quicker"),
    )
    with pytest.raises(TurnTaken, match="version 3 was put there by bob"):
        promote(world, "2")
    assert rows(world) == [("3", "1"), ("1", None)]
    assert world.registry.production(NAME).version == "3"


def test_two_who_want_the_same_version_both_get_it(world: Any) -> None:
    other = world.start().promotions
    in_the_middle(
        world, "log", "turn", lambda: other.promote(NAME, "2", actor="bob", reason="quicker")
    )
    assert promote(world, "2").actor == "bob"
    assert rows(world) == [("2", None)]


def test_a_job_waits_for_who_is_at_it_instead_of_failing(world: Any) -> None:
    with world.log.turn(NAME), pytest.raises(Unavailable, match="at this moment"):
        promote(world, "1", once_for="job-1")
    promote(world, "1", once_for="job-1")
    assert rows(world) == [("1", None)]


def test_a_version_that_another_client_put_there_is_the_one_before(world: Any) -> None:
    promote(world, "1")
    world.registry.port.promote(NAME, "3")
    promote(world, "2")
    assert rows(world)[:2] == [("2", "3"), ("3", "1")]
    assert world.log.list(NAME)[1].kind is PromotionKind.EXTERNAL


def test_what_another_client_undid_is_promoted_anew(world: Any) -> None:
    promote(world, "1")
    world.registry.port.promote(NAME, "3")
    promote(world, "1")
    assert rows(world) == [("1", "3"), ("3", "1"), ("1", None)]


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
    row = world.log.list(NAME)[0]
    assert (row.reason, row.forced, row.gate) == ("why not", True, "refused")
    assert row.gate_reason.startswith("silhouette 0.010")
    assert world.registry.version(NAME, "3").tags["forced"] == "by ada: why not"


def test_what_was_not_forced_says_so(world: Any) -> None:
    move(world, "1", Stage.PRODUCTION)
    row = world.log.list(NAME)[0]
    assert (row.forced, row.gate) == (False, "passed")
    assert "forced" not in world.registry.version(NAME, "1").tags


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
