"""Versions that wait for live readings in the shadow, on ports in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from faultline.comparisons import Comparison, Side
from faultline.errors import Conflict, Unavailable
from faultline.events import ModelEventKind
from faultline.gate_report import Decision
from faultline.ports.registry import Stage
from faultline.ports.stores import RecordBatch

NAME = "faultline-pump"
NOON = 1_795_262_400_000
START_MS = 1_795_000_000_000


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    made = make_world(gate_min_shadow_readings=1_000)
    made.store_history()
    return made


def compared(
    world: Any,
    readings: int,
    own: int = 0,
    theirs: int = 0,
    champion: str = "1",
    challenger: str = "2",
    of: str | None = None,
) -> None:
    """`of` is the sum of another version that had the challenger's number."""
    comparison = Comparison(
        counter_id="process-1",
        model_name=NAME,
        champion_version=champion,
        challenger_version=challenger,
        since_ms=NOON,
        until_ms=NOON + readings,
        readings=readings,
        agreed=readings,
        champion=Side(failures=theirs),
        challenger=Side(failures=own),
        champion_sha256=bundle_sum(world, champion),
        challenger_sha256=bundle_sum(world, challenger) if of is None else of,
    )
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, comparisons=[comparison]), lambda _: None
    )


def bundle_sum(world: Any, version: str) -> str:
    versions = world.registry.versions(NAME)
    sums: dict[str, str] = {one.version: one.tags["bundle_sha256"] for one in versions}
    return sums.get(version, "")


def look(world: Any) -> None:
    world.trainer.probation.look()


def live(world: Any) -> str:
    version: str = world.registry.production(NAME).version
    return version


def tags(world: Any) -> dict[str, str]:
    found: dict[str, str] = world.registry.version(NAME, "2").tags
    return found


def kinds(world: Any, version: str = "2") -> list[ModelEventKind]:
    return [one.kind for one in world.events() if one.model_version == version]


def test_the_first_version_waits_for_nothing(world: Any) -> None:
    assert world.train().promoted
    assert live(world) == "1"


def test_a_second_version_waits_in_staging(world: Any) -> None:
    world.train()
    job = world.train()
    assert not job.promoted
    assert job.decision.startswith("waits in Staging: ")
    assert "has to score 1,000 live readings beside version 1" in job.decision
    assert world.registry.version(NAME, "2").stage is Stage.STAGING
    assert tags(world)["gate"] == "waiting"
    assert kinds(world) == [ModelEventKind.REGISTERED]
    look(world)
    compared(world, 999)
    look(world)
    assert live(world) == "1"


def test_enough_live_readings_bring_it_into_production(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000, own=20, theirs=10)
    look(world)
    assert live(world) == "2"
    assert tags(world)["gate"] == tags(world)["shadow"] == "passed"
    assert kinds(world) == [
        ModelEventKind.REGISTERED,
        ModelEventKind.GATE_PASSED,
        ModelEventKind.PROMOTED,
    ]
    shadow, history = world.gate_log.list(NAME, "2")
    assert (history.decision, shadow.decision) == (Decision.WAITING, Decision.PASSED)
    assert "1,000 live readings scored beside version 1" in world.log.list(NAME)[0].reason


def test_what_a_deleted_version_with_its_number_had_shown_does_not_count(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000, of="0" * 64)
    look(world)
    assert live(world) == "1"
    assert tags(world)["gate"] == "waiting"


def test_what_is_decided_later_is_counted_with_the_gates_decisions(world: Any) -> None:
    world.train()
    world.train()
    world.train()
    compared(world, 1_000, challenger="3")
    look(world)
    look(world)
    counted = {
        decision: world.trainer.metrics.registry.get_sample_value(
            "faultline_trainer_gate_decisions_total", {"model": NAME, "decision": decision}
        )
        for decision in ("waiting", "superseded", "passed")
    }
    # The first version passed at once.
    assert counted == {"waiting": 2, "superseded": 1, "passed": 2}


def test_far_more_failures_in_the_shadow_refuse_it(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000, own=200, theirs=10)
    look(world)
    look(world)
    assert live(world) == "1"
    assert tags(world)["gate"] == "refused"
    assert "20.00% of those live readings" in tags(world)["gate_reason"]
    assert kinds(world) == [
        ModelEventKind.REGISTERED,
        ModelEventKind.GATE_REFUSED,
        ModelEventKind.ARCHIVED,
    ]
    refused = world.registry.version(NAME, "2")
    assert (refused.stage, refused.aliases) == (Stage.ARCHIVED, set())


def test_what_is_to_be_held_is_judged_and_held(world: Any) -> None:
    world.train()
    world.train(promotion="hold")
    compared(world, 1_000)
    look(world)
    assert tags(world)["gate"] == "passed"
    assert live(world) == "1"


def test_a_waiting_version_is_promoted_by_hand_only_by_force(world: Any) -> None:
    world.train()
    world.train()
    promotions = world.trainer.promotions
    wanted = (NAME, "2", Stage.PRODUCTION)
    with pytest.raises(Conflict, match="waits for live readings that it scores in the shadow"):
        promotions.move(*wanted, actor="ada", reason="now", force=False)
    promotions.move(*wanted, actor="ada", reason="now", force=True)
    assert live(world) == "2"


def test_the_comparison_with_another_champion_does_not_count(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 5_000, challenger="3")
    look(world)
    assert live(world) == "1"


def test_a_newer_challenger_takes_the_place_of_one_that_waits(world: Any) -> None:
    world.train()
    world.train()
    world.train()
    compared(world, 5_000, challenger="2")
    look(world)
    assert live(world) == "1"
    compared(world, 5_000, challenger="3")
    look(world)
    assert live(world) == "3"


def test_a_version_that_is_refused_at_once_takes_the_place_of_none_that_waits(world: Any) -> None:
    world.train()
    world.train()
    world.train(end_ms=START_MS + 100_000)
    look(world)
    assert tags(world)["gate"] == "waiting"
    world.train()
    look(world)
    assert tags(world)["gate_reason"].startswith("version 4 took its place")


def test_of_two_trainers_one_judges(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000)
    other = world.start()
    record = world.gate_log.port.record

    def meanwhile(judged: Any) -> None:
        # The other one would find it refused.
        compared(world, 2_000, own=2_000)
        other.probation.look()
        record(judged)

    world.gate_log.port.record = meanwhile
    look(world)
    world.gate_log.port.record = record
    other.probation.look()
    assert live(world) == "2"
    assert kinds(world).count(ModelEventKind.GATE_PASSED) == 1
    assert ModelEventKind.GATE_REFUSED not in kinds(world)
    assert [one.decision for one in world.gate_log.list(NAME, "2")] == ["passed", "waiting"]


def test_what_was_decided_stays_whatever_is_counted_until_the_next_look(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000)
    world.gate_log.plan("record", Unavailable("down"), after=True)
    with pytest.raises(Unavailable):
        look(world)
    compared(world, 2_000, own=2_000)
    look(world)
    assert live(world) == "2"
    assert "1,000 live readings" in tags(world)["gate_reason"]


def test_a_version_that_has_left_staging_meanwhile_is_not_promoted(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000)
    versions = world.registry.port.versions
    listed_before = iter([versions(NAME)])
    world.registry.set_stage(NAME, "2", Stage.ARCHIVED)
    world.registry.port.versions = lambda name: next(listed_before, None) or versions(name)
    look(world)
    assert live(world) == "1"
    assert tags(world)["gate"] == "waiting"


def test_a_version_that_passed_beside_a_former_champion_has_to_pass_beside_the_new_one(
    world: Any,
) -> None:
    promotions = world.trainer.promotions
    world.train()
    world.train()
    promotions.move(NAME, "2", Stage.PRODUCTION, actor="ada", reason="now", force=True)
    promotions.roll_back(NAME, "1", actor="ada", reason="not yet")
    world.train()
    compared(world, 1_000, challenger="3")
    world.registry.plan("set_tags", Unavailable("down"), after=True)
    with pytest.raises(Unavailable):
        look(world)
    promotions.move(NAME, "2", Stage.PRODUCTION, actor="ada", reason="now", force=True)
    look(world)
    assert live(world) == "2"
    compared(world, 1_000, champion="2", challenger="3")
    look(world)
    assert live(world) == "3"
    assert "beside version 2" in world.registry.version(NAME, "3").tags["gate_reason"]


CALLS = [
    ("gate_log", "record"),
    ("registry", "set_tags"),
    ("log", "begin"),
    ("registry", "promote"),
    ("log", "finish"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), CALLS)
def test_cut_off_anywhere_the_next_look_goes_on(
    world: Any, port: str, call: str, after: bool
) -> None:
    world.train()
    world.train()
    compared(world, 1_000)
    getattr(world, port).plan(call, Unavailable("down"), after=after)
    with pytest.raises(Unavailable):
        look(world)
    world.trainer = world.start()
    look(world)
    # What is begun in the registry is completed as every promotion is.
    world.trainer.reconciler.look()
    look(world)
    assert live(world) == "2"
    assert [one.to_version for one in world.log.list(NAME)] == ["2", "1"]
    assert tags(world)["gate"] == "passed"
    assert len(world.gate_log.list(NAME, "2")) == 2
    told = {one.event_id: one.kind for one in world.events() if one.model_version == "2"}
    assert sorted(told.values()) == sorted(
        [ModelEventKind.REGISTERED, ModelEventKind.GATE_PASSED, ModelEventKind.PROMOTED]
    )


def test_what_was_promoted_once_does_not_come_back_by_itself(world: Any) -> None:
    world.train()
    world.train()
    compared(world, 1_000)
    look(world)
    world.trainer.promotions.roll_back(NAME, "1", actor="ada", reason="cries wolf")
    world.trainer.promotions.move(
        NAME, "2", Stage.STAGING, actor="ada", reason="look again", force=False
    )
    look(world)
    assert live(world) == "1"
