"""Versions: how they are registered, described, listed and not found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline.errors import NotFound
from faultline.ports.registry import ModelRegistry, Stage

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig


def test_a_registered_version_is_in_staging(rig: Rig) -> None:
    version = rig.register()
    assert version.version == "1"
    assert version.stage is Stage.STAGING
    assert version.aliases == {"staging"}


def test_a_version_that_is_registered_archived_leaves_the_challenger_in_its_place(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    made = registry.register(name, rig.log(), rig.tags, "", Stage.ARCHIVED)
    assert (made.stage, made.aliases) == (Stage.ARCHIVED, set())
    staging = registry.staging(name)
    assert staging is not None
    assert staging.version == "1"


def test_a_version_keeps_its_tags_and_description(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.register()
    version = registry.version(name, "1")
    assert version.tags == {**rig.tags, "stage": "Staging"}
    assert version.description == "What it is."


def test_a_version_is_described_anew(rig: Rig, registry: ModelRegistry, name: str) -> None:
    rig.register()
    registry.describe(name, "1", "What became of it.")
    assert registry.version(name, "1").description == "What became of it."
    assert registry.version(name, "1").tags == {**rig.tags, "stage": "Staging"}
    with pytest.raises(NotFound):
        registry.describe(name, "2", "")


def test_a_version_names_its_run(rig: Rig, registry: ModelRegistry, name: str) -> None:
    run_id = rig.log()
    assert registry.register(name, run_id, {}, "").run_id == run_id
    assert registry.version(name, "1").run_id == run_id


def test_registering_a_run_that_is_not_there_makes_no_model(
    registry: ModelRegistry, name: str
) -> None:
    with pytest.raises(NotFound):
        registry.register(name, "0" * 32, {}, "")
    assert name not in registry.models()


def test_registering_promotes_nothing(rig: Rig, registry: ModelRegistry, name: str) -> None:
    rig.register()
    assert registry.production(name) is None


def test_models_are_listed_once_they_have_a_version(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    assert name not in registry.models()
    rig.register()
    assert name in registry.models()


def test_tags_are_added_and_overwritten(rig: Rig, registry: ModelRegistry, name: str) -> None:
    rig.register()
    registry.set_tags(name, "1", {"gate": "refused", "more": "x"})
    tags = registry.version(name, "1").tags
    assert (tags["gate"], tags["more"], tags["silhouette"]) == ("refused", "x", "0.61")


@pytest.mark.parametrize("unknown", ["faultline-nothing", "other", "", "faultline-' OR 1=1"])
def test_an_unknown_model_is_not_found(registry: ModelRegistry, unknown: str) -> None:
    with pytest.raises(NotFound):
        registry.versions(unknown)
    with pytest.raises(NotFound):
        registry.version(unknown, "1")
    with pytest.raises(NotFound):
        registry.promote(unknown, "1")


@pytest.mark.parametrize("unknown", ["99", "0", "latest", "../1", "1 "])
def test_an_unknown_version_is_not_found(
    rig: Rig, registry: ModelRegistry, name: str, tmp_path: Path, unknown: str
) -> None:
    rig.register()
    with pytest.raises(NotFound):
        registry.version(name, unknown)
    with pytest.raises(NotFound):
        registry.promote(name, unknown)
    with pytest.raises(NotFound):
        registry.set_stage(name, unknown, Stage.ARCHIVED)
    with pytest.raises(NotFound):
        registry.set_tags(name, unknown, {"a": "b"})
    with pytest.raises(NotFound):
        registry.download(name, unknown, tmp_path / "fetched")


def test_a_model_that_is_not_there_has_no_production_version(
    registry: ModelRegistry, name: str
) -> None:
    assert registry.production(name) is None
