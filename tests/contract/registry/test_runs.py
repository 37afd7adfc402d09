"""Runs: those that were logged to their end are never taken for cut off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline.errors import NotFound
from faultline.ports.registry import ModelRegistry

if TYPE_CHECKING:
    from tests.contract.registry.conftest import Rig


def test_a_run_that_was_logged_is_not_ended_again(
    rig: Rig, registry: ModelRegistry, name: str
) -> None:
    rig.log(experiment=name)
    assert registry.end_runs(name, {"job_id": "j1"}) == 0


def test_an_experiment_that_is_not_there_has_no_run_to_end(
    registry: ModelRegistry, name: str
) -> None:
    assert registry.end_runs(name, {}) == 0


def test_files_can_be_added_to_a_run_that_was_logged(
    rig: Rig, registry: ModelRegistry, tmp_path: Path
) -> None:
    run_id = rig.log()
    added = tmp_path / "added"
    (added / "later").mkdir(parents=True)
    (added / "later" / "gate.md").write_text("# Gate: passed\n")
    for _ in range(2):
        registry.amend_run(run_id, {"gate": "passed"}, added)
    fetched = registry.download_artifacts(run_id, "later", tmp_path / "fetched", 1_000)
    assert (fetched / "gate.md").read_text() == "# Gate: passed\n"
    with pytest.raises(NotFound):
        registry.amend_run("0" * 32, {}, added)
