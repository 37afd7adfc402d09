"""Who answers a machine: the champion, or for a fixed share of the machines the challenger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from faultline.detector import Detector
from faultline.judge import Model
from services.predictor.contest import Contest, contests, share_of
from services.predictor.slot import Loaded, ModelSlot, Origin

MACHINES = [f"pump-{number}" for number in range(2_000)]


@pytest.fixture
def two(make_detector: Callable[..., Detector]) -> tuple[Model, Model]:
    return (
        Model("faultline-pump", "1", make_detector(), bundle_sha256="a"),
        Model("faultline-pump", "2", make_detector(boundary=3.0), bundle_sha256="b"),
    )


def _slots(two: tuple[Model, Model], gate: str | None) -> tuple[ModelSlot, ModelSlot]:
    slots = ModelSlot(), ModelSlot()
    for slot, model in zip(slots, two, strict=True):
        slot.swap("pump", Loaded(model, 0, Origin.REGISTRY, gate))
    return slots


def test_the_share_of_machines_that_the_challenger_answers_is_as_asked(
    two: tuple[Model, Model],
) -> None:
    contest = Contest(*two, share=0.25)
    answered = [contest.answering(machine_id) for machine_id in MACHINES]
    assert 0.22 < answered.count(two[1]) / len(MACHINES) < 0.28


def test_the_one_that_does_not_answer_is_in_the_shadow(two: tuple[Model, Model]) -> None:
    contest = Contest(*two, share=0.5)
    for machine_id in MACHINES[:50]:
        assert {contest.answering(machine_id), contest.in_the_shadow(machine_id)} == set(two)


def test_a_larger_share_keeps_the_machines_of_a_smaller_one(two: tuple[Model, Model]) -> None:
    few = {one for one in MACHINES if Contest(*two, share=0.1).answering(one) is two[1]}
    more = {one for one in MACHINES if Contest(*two, share=0.2).answering(one) is two[1]}
    assert few < more


def test_where_a_machine_stands_never_changes() -> None:
    assert [round(share_of(machine_id), 6) for machine_id in ("pump-07", "Größe/1")] == [
        0.934874,
        0.309673,
    ]


def test_without_a_share_the_champion_answers_all(two: tuple[Model, Model]) -> None:
    contest = Contest(*two)
    assert {contest.answering(machine_id) for machine_id in MACHINES} == {two[0]}


def test_a_version_that_the_gate_refused_is_compared_and_never_answers(
    two: tuple[Model, Model],
) -> None:
    champions, challengers = _slots(two, gate="refused")
    contest = contests(champions, challengers, 1.0)("pump")
    assert (contest.answering("pump-1"), contest.in_the_shadow("pump-1")) == two


@pytest.mark.parametrize("gate", ["passed", None])
def test_one_that_passed_or_was_not_judged_answers_its_share(
    two: tuple[Model, Model], gate: str | None
) -> None:
    contest = contests(*_slots(two, gate), 1.0)("pump")
    assert (contest.answering("pump-1"), contest.in_the_shadow("pump-1")) == two[::-1]


def test_the_same_bundle_twice_is_no_contest(two: tuple[Model, Model]) -> None:
    same = two[0], replace(two[1], bundle_sha256="a")
    contest = contests(*_slots(same, gate=None), 1.0)("pump")
    assert (contest.champion, contest.challenger) == (two[0], None)


def test_without_a_champion_the_challenger_answers_nobody(two: tuple[Model, Model]) -> None:
    _, challengers = _slots(two, gate=None)
    contest = contests(ModelSlot(), challengers, share=1.0)("pump")
    assert contest.answering("pump-1") is None
