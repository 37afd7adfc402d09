"""Downloads: what was logged is fetched, within bounds, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline.errors import InvalidBundle, NotFound
from faultline.ports.registry import ModelRegistry

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig


def test_a_download_is_what_was_logged_as_the_model(
    rig: Rig, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
) -> None:
    rig.register()
    folder = registry.download(name, "1", tmp_path / "fetched")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (artifacts / "model").iterdir()
    }


def test_a_folder_of_a_run_can_be_fetched(
    rig: Rig, registry: ModelRegistry, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "dataset").mkdir()
    (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
    run_id = rig.log()
    folder = registry.download_artifacts(run_id, "dataset", tmp_path / "fetched", 4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"rows.parquet": b"rows"}


def test_a_folder_larger_than_allowed_is_not_fetched(
    rig: Rig, registry: ModelRegistry, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "dataset").mkdir()
    (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
    run_id = rig.log()
    with pytest.raises(InvalidBundle, match="has 4 bytes, at most 3"):
        registry.download_artifacts(run_id, "dataset", tmp_path / "fetched", 3)
    assert not (tmp_path / "fetched").exists()


def test_a_folder_or_a_run_that_is_not_there_is_not_found(
    rig: Rig, registry: ModelRegistry, tmp_path: Path
) -> None:
    run_id = rig.log()
    with pytest.raises(NotFound):
        registry.download_artifacts(run_id, "dataset", tmp_path, 100)
    with pytest.raises(NotFound):
        registry.download_artifacts("0" * 32, "model", tmp_path, 100)
