"""A trainer that loses its turn while it completes what one that is gone has begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import Unavailable
from faultline.ports.promotions import Promotion
from faultline.ports.registry import TrainingRun

NAME = "faultline-pump"


class Turn:
    def __init__(self) -> None:
        self.lost = False

    def require(self) -> None:
        if self.lost:
            raise Unavailable("the turn was lost")


class Turns:
    """The turns of a log whose connections can end: then the next one gets its own."""

    def __init__(self) -> None:
        self.given: list[Turn] = []

    @contextmanager
    def turn(self, _: str) -> Iterator[Turn]:
        self.given.append(Turn())
        yield self.given[-1]

    def end_all(self) -> None:
        for turn in self.given:
            turn.lost = True


@pytest.fixture
def world(make_world: Any, tmp_path: Path) -> Any:
    """Three versions, the first in Production; a trainer that is gone had begun to promote 2."""
    made = make_world()
    run_id = made.registry.log_run(TrainingRun(NAME, "run", {}, [], {}, tmp_path))
    for _ in range(3):
        made.registry.register(NAME, run_id, {"gate": "passed"}, "")
    promote(made.trainer, "1")
    made.log.begin(
        Promotion(
            promotion_id="begun",
            model_name=NAME,
            to_version="2",
            from_version="1",
            at_ms=made.clock.now_ms(),
            actor="gone",
            reason="better",
        )
    )
    return made


def promote(trainer: Any, version: str) -> object:
    return trainer.promotions.promote(NAME, version, actor="ada", reason="better")


def test_who_loses_it_is_told_to_ask_again_and_changes_nothing_more(world: Any) -> None:
    turns, other = Turns(), world.start()
    world.log.port.turn = turns.turn
    registry_promote = world.registry.port.promote

    def overtaken(name: str, version: str) -> None:
        world.registry.port.promote = registry_promote
        turns.end_all()
        promote(other, "2")
        registry_promote(name, version)

    world.registry.port.promote = overtaken
    with pytest.raises(Unavailable, match="the turn was lost"):
        promote(world.trainer, "3")
    assert [one.to_version for one in world.log.list(NAME)] == ["2", "1"]
    assert world.registry.production(NAME).version == "2"
    # The next turn is one like every other.
    promote(world.trainer, "3")
    assert world.registry.production(NAME).version == "3"
