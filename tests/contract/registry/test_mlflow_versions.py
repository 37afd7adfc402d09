"""Versions in MLflow: what its own clients see of them and do to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from faultline.errors import InvalidBundle, NotFound
from faultline.ports.registry import ModelRegistry

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig

pytestmark = pytest.mark.real


@pytest.fixture
def registry(mlflow_registry: ModelRegistry) -> ModelRegistry:
    """MLflow's only."""
    return mlflow_registry


@pytest.mark.parametrize("suffix", ["@production", "/Production", "/1"])
def test_models_uris_resolve(
    rig: Rig,
    registry: ModelRegistry,
    client: Any,
    name: str,
    artifacts: Path,
    tmp_path: Path,
    suffix: str,
) -> None:
    import mlflow.artifacts  # noqa: PLC0415 - takes seconds

    rig.register()
    registry.promote(name, "1")
    fetched = mlflow.artifacts.download_artifacts(
        f"models:/{name}{suffix}", dst_path=str(tmp_path / "fetched")
    )
    assert (Path(fetched) / "bundle" / "arrays.npz").read_bytes() == bytes(range(256))


def test_an_alias_moved_by_another_client_is_followed(
    rig: Rig, registry: ModelRegistry, client: Any, name: str
) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    client.set_registered_model_alias(name, "production", "2")
    production = registry.production(name)
    assert production is not None
    assert production.version == "2"


def test_a_promotion_cut_off_after_the_alias_is_completed_by_repeating_it(
    rig: Rig, registry: ModelRegistry, client: Any, name: str
) -> None:
    rig.register()
    rig.register()
    registry.promote(name, "1")
    client.set_registered_model_alias(name, "production", "2")
    registry.promote(name, "2")
    assert rig.stages() == {"1": "Archived", "2": "Production"}
    assert [one.tags["stage"] for one in registry.versions(name)] == ["Production", "Archived"]


def test_every_version_that_was_put_into_production_by_hand_is_archived(
    rig: Rig, registry: ModelRegistry, client: Any, name: str
) -> None:
    for _ in range(3):
        rig.register()
    registry.promote(name, "3")
    for version in ("1", "2"):
        with pytest.warns(FutureWarning, match="stages"):
            client.transition_model_version_stage(name, version, "Production")
    registry.promote(name, "3")
    assert rig.stages() == {"1": "Archived", "2": "Archived", "3": "Production"}


def test_a_folder_in_the_bundle_is_refused(
    rig: Rig, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "model" / "code").mkdir()
    (artifacts / "model" / "code" / "x.py").write_text("")
    rig.register()
    with pytest.raises(InvalidBundle, match="'code' is no file of a bundle"):
        registry.download(name, "1", tmp_path / "fetched")


def test_more_files_than_a_bundle_has_are_refused(
    rig: Rig, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
) -> None:
    for number in range(20):
        (artifacts / "model" / f"{number}.json").write_text("")
    rig.register()
    with pytest.raises(InvalidBundle, match="holds 22 files"):
        registry.download(name, "1", tmp_path / "fetched")


def test_a_version_without_files_is_not_found(
    rig: Rig, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
) -> None:
    for path in (artifacts / "model").iterdir():
        path.unlink()
    rig.register()
    with pytest.raises(NotFound, match="holds no files"):
        registry.download(name, "1", tmp_path / "fetched")
