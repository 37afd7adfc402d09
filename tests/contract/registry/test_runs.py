"""Runs: those that were logged to their end are never taken for cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
