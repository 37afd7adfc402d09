"""What becomes of a decision on a version that waited: cut off anywhere, it is carried out once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faultline.comparisons import Comparison, Side
from faultline.errors import Unavailable
from faultline.events import ModelEventKind
from faultline.gate_report import Decision
from faultline.ports.gate_log import DecisionState
from faultline.ports.registry import Stage
from faultline.ports.stores import RecordBatch

NAME = "faultline-pump"
NOON = 1_795_262_400_000


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """Version 1 in Production, version 2 in its shadow."""
    made = make_world(gate_min_shadow_readings=1_000)
    made.store_history()
    made.train()
    made.train()
    return made


def compared(world: Any, challenger: str = "2", failures: int = 0) -> None:
    """It has scored enough."""
    sums = {one.version: one.tags["bundle_sha256"] for one in world.registry.versions(NAME)}
    comparison = Comparison(
        counter_id="process-1",
        model_name=NAME,
        champion_version="1",
        challenger_version=challenger,
        since_ms=NOON,
        until_ms=NOON + 1_000,
        readings=1_000,
        agreed=1_000,
        champion=Side(failures=0),
        challenger=Side(failures=failures),
        champion_sha256=sums["1"],
        challenger_sha256=sums[challenger],
    )
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, comparisons=[comparison]), lambda _: None
    )


def look(world: Any) -> None:
    world.trainer.probation.look()


def by_hand(world: Any, version: str, **changes: Any) -> None:
    """Change a version as a client of the registry does that knows nothing of Faultline."""
    registry = world.registry.port
    registry._keep(replace(registry.version(NAME, version), **changes))


def told(world: Any, version: str = "2") -> list[ModelEventKind]:
    """Each event once."""
    unique = {one.event_id: one.kind for one in world.events() if one.model_version == version}
    return list(unique.values())


def live(world: Any) -> str:
    version: str = world.registry.production(NAME).version
    return version


def gate(world: Any, version: str = "2") -> str:
    said: str = world.registry.version(NAME, version).tags["gate"]
    return said


REFUSAL = [
    ("gate_log", "record"),
    ("log", "begin"),
    ("registry", "set_stage"),
    ("log", "finish"),
    ("registry", "set_tags"),
    ("gate_log", "advance"),
    ("log", "mark_announced"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), REFUSAL)
def test_a_refused_challenger_leaves_the_shadow_with_its_events_however_it_is_cut_off(
    world: Any, port: str, call: str, after: bool
) -> None:
    compared(world, failures=200)
    getattr(world, port).plan(call, Unavailable("down"), after=after)
    with pytest.raises(Unavailable):
        look(world)
    world.trainer = world.start()
    look(world)
    world.trainer.reconciler.look()
    refused = world.registry.version(NAME, "2")
    assert (refused.stage, refused.aliases) == (Stage.ARCHIVED, set())
    assert refused.tags["gate"] == refused.tags["shadow"] == "refused"
    assert sorted(told(world)) == sorted(
        [ModelEventKind.REGISTERED, ModelEventKind.GATE_REFUSED, ModelEventKind.ARCHIVED]
    )
    assert world.gate_log.unfinished() == world.log.unfinished() == []


def test_a_refused_version_that_a_person_puts_into_the_shadow_again_stays_there(
    world: Any,
) -> None:
    compared(world, failures=200)
    look(world)
    world.trainer.promotions.move(
        NAME, "2", Stage.STAGING, actor="ada", reason="look again", force=False
    )
    look(world)
    assert world.registry.staging(NAME).version == "2"


def test_nobody_waits_for_the_turn_while_the_broker_is_waited_for(world: Any) -> None:
    producer, send = world.broker.flaky.port, world.broker.flaky.port.send
    free = []

    def sending(*args: Any) -> Any:
        with world.log.turn(NAME):
            free.append(True)
        return send(*args)

    producer.send = sending
    compared(world)
    look(world)
    assert told(world)[-2:] == [ModelEventKind.GATE_PASSED, ModelEventKind.PROMOTED]
    assert len(free) == 3


def test_what_the_broker_did_not_take_is_told_later(world: Any) -> None:
    compared(world)
    world.broker.flaky.plan("send", Unavailable("Kafka is down"))
    with pytest.raises(Unavailable):
        look(world)
    assert live(world) == "2"
    [untold] = world.gate_log.unfinished()
    assert untold.state is DecisionState.APPLIED
    world.trainer.reconciler.look()
    assert told(world) == [
        ModelEventKind.REGISTERED,
        ModelEventKind.GATE_PASSED,
        ModelEventKind.PROMOTED,
    ]
    assert world.gate_log.unfinished() == []


def test_a_version_that_another_client_has_just_put_there_is_followed_first(world: Any) -> None:
    world.train()
    compared(world, challenger="3")
    by_hand(world, "2", stage=Stage.PRODUCTION)
    look(world)
    assert live(world) == "2"
    assert [one.to_version for one in world.log.list(NAME)] == ["2", "1"]
    # It was compared with version 1.
    assert gate(world, "3") == "waiting"


def test_a_version_that_lost_its_place_says_so_and_it_is_told(world: Any) -> None:
    world.train()
    look(world)
    assert gate(world) == "superseded"
    assert told(world) == [ModelEventKind.REGISTERED, ModelEventKind.SUPERSEDED]
    [event] = [one for one in world.events() if one.kind is ModelEventKind.SUPERSEDED]
    assert event.reason == world.registry.version(NAME, "2").tags["gate_reason"]


def test_a_version_that_is_forced_into_production_meanwhile_is_not_superseded(world: Any) -> None:
    world.train()
    stale = world.registry.versions(NAME)
    world.trainer.promotions.move(
        NAME, "2", Stage.PRODUCTION, actor="ada", reason="now", force=True
    )
    versions = world.registry.port.versions
    listed = iter([stale])
    world.registry.port.versions = lambda name: next(listed, None) or versions(name)
    look(world)
    assert gate(world) == "waiting"
    assert Decision.SUPERSEDED not in {one.decision for one in world.gate_log.list(NAME, "2")}


@pytest.mark.parametrize("decision", [Decision.REFUSED, Decision.SUPERSEDED])
def test_a_version_in_production_does_not_get_what_was_decided_before_it_came_there(
    world: Any, decision: Decision
) -> None:
    if decision is Decision.SUPERSEDED:
        world.train()
    else:
        compared(world, failures=200)
    world.gate_log.plan("record", Unavailable("down"), after=True)
    with pytest.raises(Unavailable):
        look(world)
    world.trainer.promotions.move(
        NAME, "2", Stage.PRODUCTION, actor="ada", reason="now", force=True
    )
    look(world)
    assert gate(world) == "waiting"
    assert world.gate_log.unfinished() == []
    assert live(world) == "2"


def test_what_is_decided_later_is_in_the_description_and_on_the_run(world: Any) -> None:
    before = world.registry.version(NAME, "2")
    compared(world)
    look(world)
    version = world.registry.version(NAME, "2")
    section = version.description.split("**Gate: passed**\n\n")[1].split("\n\n")[0]
    shadow, checks, *history = section.splitlines()
    assert shadow.startswith("- 1,000 live readings scored beside version 1")
    assert checks.startswith("- 0.00% of those live readings called a failure")
    # What it had found before, and all else, stays.
    assert "\n".join(history) in before.description
    assert len(history) > 5
    assert "**Gate: waiting**" not in version.description
    assert version.description.split("**What it")[1] == before.description.split("**What it")[1]
    logged = world.runs[version.run_id]
    assert logged.run.tags["gate"] == "passed"
    assert "**Gate: passed**" in logged.run.tags["mlflow.note.content"]
    assert logged.files["gate_shadow.md"].startswith(b"# Gate: passed\n")
    assert b'"decision": "waiting"' in logged.files["gate.json"]


def test_a_version_that_lost_its_place_has_it_in_its_description_and_on_the_run(
    world: Any,
) -> None:
    world.train()
    look(world)
    version = world.registry.version(NAME, "2")
    assert "**Gate: superseded**\n\n- Version 3 took its place" in version.description
    report = json.loads(world.runs[version.run_id].files["gate_shadow.json"])
    assert (report["decision"], report["passed"]) == ("superseded", False)


def test_a_version_whose_run_was_deleted_is_judged_all_the_same(world: Any) -> None:
    run_id = world.registry.version(NAME, "2").run_id
    del world.registry.port.runs[run_id]
    compared(world)
    look(world)
    assert live(world) == "2"
