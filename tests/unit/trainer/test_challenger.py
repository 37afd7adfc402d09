"""Who is the challenger after a training: the alias `staging` is never lost without a word."""

from __future__ import annotations

from typing import Any

import pytest

from faultline.ports.registry import Stage

NAME = "faultline-pump"
START_MS = 1_795_000_000_000
TOO_SHORT = {"end_ms": START_MS + 100_000}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def held(world: Any) -> Any:
    """A world with version 1 in Production, and version 2 held for comparison."""
    world.train()
    world.train(promotion="hold")
    return world


def challenger(world: Any) -> str | None:
    version = world.registry.staging(NAME)
    return None if version is None else str(version.version)


def test_a_refused_version_takes_the_place_of_no_challenger(held: Any) -> None:
    job = held.train(**TOO_SHORT)
    assert "the gate refused" in job.decision
    assert challenger(held) == "2"
    refused = held.registry.version(NAME, "3")
    assert (refused.stage, refused.aliases) == (Stage.ARCHIVED, set())
    assert "replaces_challenger" not in refused.tags


def test_a_refused_version_that_a_dying_worker_had_registered_is_archived_too(held: Any) -> None:
    set_stage = held.registry.port.set_stage

    def killed(*_: Any) -> None:
        held.registry.port.set_stage = set_stage
        raise Killed

    held.registry.port.set_stage = killed
    job = held.submit(**TOO_SHORT)
    with pytest.raises(Killed):
        held.work()
    assert held.registry.version(NAME, "3").stage is Stage.NONE
    held.work_until_done(job)
    assert held.registry.version(NAME, "3").stage is Stage.ARCHIVED
    assert challenger(held) == "2"


def test_a_version_that_is_held_says_whose_place_it_takes(held: Any) -> None:
    job = held.train(promotion="hold")
    assert challenger(held) == "3"
    assert job.decision.startswith(
        "held in Staging, as asked for; it replaces version 2 as the challenger; the gate passed: "
    )
    assert held.registry.version(NAME, "3").tags["replaces_challenger"] == "2"


def test_the_first_challenger_replaces_none(held: Any) -> None:
    assert "replaces_challenger" not in held.registry.version(NAME, "2").tags


def test_a_version_that_goes_into_production_leaves_the_challenger_in_its_place(held: Any) -> None:
    job = held.train()
    assert job.promoted
    assert held.registry.production(NAME).version == "3"
    assert challenger(held) == "2"
    assert "replaces" not in job.decision
