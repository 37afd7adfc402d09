"""What the trainer says over HTTP: that nothing changed, what there is instead, what is live."""

from __future__ import annotations

from typing import Any

import pytest

BASE = "/api/v1/ml/models"
NAME = "faultline-pump"


def post(world: Any, path: str, body: Any = None) -> Any:
    return world.http.post(f"{BASE}/{NAME}{path}", json=body)


def get(world: Any, path: str, **params: Any) -> Any:
    return world.http.get(f"{BASE}/{NAME}{path}", params=params)


@pytest.fixture
def two_versions(world: Any) -> Any:
    """The first in Production, the second held."""
    world.train()
    world.train(promotion="hold")
    return world


def test_a_version_that_is_in_production_already_is_said_to_be(two_versions: Any) -> None:
    first = post(two_versions, "/versions/2/promote", {"reason": "compared"}).json()
    again = post(two_versions, "/versions/2/promote", {"reason": "again"})
    assert again.status_code == 200
    assert again.json() == {**first, "changed": False}
    reasons = [one["reason"] for one in get(two_versions, "/history").json()["promotions"]]
    assert "again" not in reasons


@pytest.mark.parametrize("stage", ["Staging", "Archived", "None"])
def test_a_stage_that_it_has_already_is_no_change(two_versions: Any, stage: str) -> None:
    moved = [post(two_versions, "/versions/2/promote", {"stage": stage}).json() for _ in range(2)]
    assert [one["changed"] for one in moved] == [stage != "Staging", False]
    assert [(one["stage"], one["since"]) for one in moved] == [(stage, None)] * 2


def test_archiving_twice_is_told_of_once(two_versions: Any) -> None:
    for _ in range(2):
        post(two_versions, "/versions/2/promote", {"stage": "Archived"})
    assert [one.kind for one in two_versions.events()].count("archived") == 1


def test_a_staging_version_without_the_alias_gets_it(two_versions: Any) -> None:
    two_versions.registry.port._move_alias(NAME, "staging", None)
    moved = post(two_versions, "/versions/2/promote", {"stage": "Staging"}).json()
    assert moved["changed"] is True
    assert two_versions.registry.staging(NAME).version == "2"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/versions/9/promote", {}),
        ("POST", "/versions/9/backtest", {}),
        ("POST", "/rollback", {"to": "9", "reason": "x"}),
        ("GET", "/versions/9/gate", None),
    ],
)
def test_of_an_unknown_version_those_that_there_are_are_named(
    two_versions: Any, method: str, path: str, body: Any
) -> None:
    answer = two_versions.http.request(method, f"{BASE}/{NAME}{path}", json=body)
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"{NAME} has no version 9; it has 1, 2"


@pytest.mark.parametrize("path", ["versions", "production", "history", "versions/1/gate"])
def test_of_an_unknown_model_those_that_there_are_are_named(world: Any, path: str) -> None:
    world.train()
    answer = world.http.get(f"{BASE}/faultline-fan/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"there is no model faultline-fan; there are: {NAME}"


def test_what_the_gate_said_stands_in_the_history_once(world: Any) -> None:
    world.train()
    (row,) = get(world, "/history").json()["promotions"]
    assert row["reason"] == "the gate passed"
    assert row["gate_reason"] == world.registry.version(NAME, "1").tags["gate_reason"]


def test_nothing_is_said_to_have_been_live_in_the_future(world: Any) -> None:
    world.train()
    answer = get(world, "/history", at="2030-01-01T00:00:00Z")
    assert answer.status_code == 422
    assert "is in the future; leave it out to ask what is live now" in answer.json()["detail"]
    # The clocks of two machines differ a little.
    assert get(world, "/history", at=world.clock.now_ms() + 30_000).status_code == 200


def test_of_a_machine_type_without_readings_the_others_are_named(world: Any) -> None:
    answer = world.http.post(f"{BASE}/train", json={"machine_type": "pumpe"})
    told = "no readings of machine type 'pumpe'; there are some of: pump"
    assert (answer.status_code, answer.json()["detail"]) == (422, told)
    assert world.http.get(f"{BASE}/train").json()["jobs"] == []
    # The trainer's own trainings are checked when they are worked on.
    assert world.train(machine_type="pumpe").error == told


def test_a_rollback_without_a_body_is_told_that_it_needs_a_reason(world: Any) -> None:
    answer = world.http.post(f"{BASE}/{NAME}/rollback")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body.reason: a rollback needs a reason"


def test_a_known_type_without_readings_in_the_range_says_so(world: Any) -> None:
    job = world.train(end_ms=1)
    assert job.error == "no readings of machine type 'pump' in the time range; widen it"


def test_a_refusal_has_no_word_of_the_library_that_checks(world: Any) -> None:
    body = {"machine_type": "pump", "start": 2, "end": 1}
    answer = world.http.post(f"{BASE}/train", json=body)
    assert answer.json()["detail"] == "body: end must be later than start"
