"""Stages and aliases: promotion, the challenger, and what is archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faultline.ports.registry import ModelRegistry, Stage

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig


def test_the_alias_staging_is_of_the_newest_version(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    rig.register()
    assert [(one.version, one.aliases) for one in registry.versions(name)] == [
        ("2", {"staging"}),
        ("1", set()),
    ]


def test_the_version_behind_the_alias_staging_is_found(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    assert registry.staging(name) is None
    rig.register()
    rig.register()
    assert registry.staging(name) == registry.version(name, "2")
    registry.promote(name, "2")
    assert registry.staging(name) is None


def test_a_promoted_version_is_in_production_and_no_more_in_staging(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    registry.promote(name, "1")
    version = registry.version(name, "1")
    assert (version.stage, version.aliases) == (Stage.PRODUCTION, {"production"})
    assert version.tags["stage"] == "Production"
    assert registry.production(name) == version


def test_the_former_production_version_is_archived(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    registry.promote(name, "2")
    assert rig.stages() == {"1": "Archived", "2": "Production"}
    assert registry.version(name, "1").tags["stage"] == "Archived"


def test_promoting_again_changes_nothing(rig: Rig, registry: ModelRegistry, name: str) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    registry.promote(name, "2")
    before = registry.versions(name)
    registry.promote(name, "2")
    assert registry.versions(name) == before


def test_an_older_version_can_be_promoted_again(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    registry.promote(name, "2")
    registry.promote(name, "1")
    assert rig.stages() == {"1": "Production", "2": "Archived"}


def test_promoting_leaves_a_challenger_in_staging(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    assert registry.version(name, "2").aliases == {"staging"}


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.ARCHIVED, Stage.NONE])
def test_a_version_moved_out_of_production_leaves_none_there(
    rig: Rig, registry: ModelRegistry, name: str, stage: Stage
) -> None:
    rig.register()
    registry.promote(name, "1")
    moved = registry.set_stage(name, "1", stage)
    assert moved.stage is stage
    assert moved.aliases == ({"staging"} if stage is Stage.STAGING else set())
    assert registry.production(name) is None


def test_an_archived_version_is_no_challenger(rig: Rig, registry: ModelRegistry, name: str) -> None:
    rig.register()
    archived = registry.set_stage(name, "1", Stage.ARCHIVED)
    assert archived.aliases == set()
    assert archived.tags["stage"] == "Archived"


def test_production_is_reached_by_promotion_alone(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    with pytest.raises(ValueError, match="promote"):
        registry.set_stage(name, "1", Stage.PRODUCTION)
