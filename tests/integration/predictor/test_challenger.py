"""The version in Staging: compared in the shadow, and answering a share of the machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from faultline.readings import encode_batch
from faultline.verdicts import Status
from services.predictor.contest import share_of

if TYPE_CHECKING:
    from tests.integration.conftest import Until
    from tests.integration.predictor.conftest import World

pytestmark = pytest.mark.real


def test_a_challenger_in_the_shadow_is_compared_and_carries_on_when_it_is_promoted(
    world: World, until: Until
) -> None:
    champion = world.register(boundary=20.0)
    challenger = world.register(boundary=2.0, promote=False)
    with world.recorder(), world.predictor() as predictor:
        until(
            lambda: predictor.comparison(world.kind).get("challenger_version") == challenger,
            "the challenger",
        )
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for(range(20))

        def compared() -> Any:
            return predictor.comparison(world.kind).get("current")

        until(lambda: (compared() or {}).get("readings") == 18, "18 readings to be compared")
        current = compared()
        world.registry.promote(world.name, challenger)
        until(lambda: predictor.version(world.kind) == challenger, "the promoted version")
        world.send(range(20, 25), value=9.0)
        said = world.wait_for(range(25))
        until(
            lambda: predictor.comparison(world.kind)["challenger_version"] is None,
            "no challenger any more",
        )
        former = predictor.comparison(world.kind)["former"]
    assert [version for version, _ in said.verdicts] == [champion] * 20 + [challenger] * 5
    assert [verdict.status for _, verdict in said.verdicts[20:]] == [Status.FAILURE] * 5
    assert (current["champion"]["failures"], current["challenger"]["failures"]) == (0, 10)
    assert (current["champion"]["alarms"], current["challenger"]["alarms"]) == (0, 1)
    assert current["agreement"] == pytest.approx(8 / 18)
    assert [one["readings"] for one in former] == [18]


def test_a_share_of_the_machines_is_answered_by_the_challenger_and_says_so(
    world: World, until: Until
) -> None:
    versions = {False: world.register(boundary=20.0)}
    versions[True] = world.register(boundary=2.0, promote=False)
    machines = [f"{world.kind}/{number}" for number in range(8)]
    expected = {machine: versions[share_of(machine) < 0.5] for machine in machines}
    with world.predictor(FAULTLINE_PREDICTOR_AB_SHARE="0.5") as predictor:
        until(
            lambda: (
                predictor.comparison(world.kind).get("answering_share") == 0.5
                and predictor.comparison(world.kind)["champion_version"] == versions[False]
            ),
            "both versions",
        )
        for machine in machines:
            world.send(range(5), machine=machine)
        given = {
            machine: {version for version, _ in world.wait_for(range(5), machine).verdicts}
            for machine in machines
        }
        body = encode_batch([world.reading(5, machine=machine) for machine in machines])
        answer = predictor.http.post("/api/v1/predict", content=body).json()
    assert given == {machine: {version} for machine, version in expected.items()}
    assert [one["model_version"] for one in answer["predictions"]] == list(expected.values())


def test_a_challenger_that_the_gate_refused_answers_nobody(world: World, until: Until) -> None:
    champion = world.register(boundary=20.0)
    refused = world.register(boundary=2.0, promote=False, gate="refused")
    with world.predictor(FAULTLINE_PREDICTOR_AB_SHARE="1") as predictor:
        until(
            lambda: predictor.comparison(world.kind).get("challenger_version") == refused,
            "the challenger",
        )
        until(lambda: predictor.version(world.kind) == champion, "the champion")
        world.send(range(5))
        said = world.wait_for(range(5))
        assert predictor.comparison(world.kind)["answering_share"] == 0.0
    assert {version for version, _ in said.verdicts} == {champion}
