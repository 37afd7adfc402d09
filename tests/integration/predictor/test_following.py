"""Versions that are promoted meanwhile take over, in every replica and with every window."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline.verdicts import Status

if TYPE_CHECKING:
    from tests.integration.conftest import Until
    from tests.integration.predictor.conftest import World

pytestmark = pytest.mark.real


def test_a_version_promoted_meanwhile_takes_over_and_is_named(world: World, until: Until) -> None:
    with world.predictor() as predictor:
        world.send(range(5))
        world.wait_for(range(5))
        first = world.register(boundary=2.0)
        until(lambda: predictor.version(world.kind) == first, "the first version")
        world.send(range(5, 10))
        world.wait_for(range(10))
        second = world.register(boundary=3.0)
        until(lambda: predictor.version(world.kind) == second, "the second version")
        world.send(range(10, 15))
        said = world.wait_for(range(15))
        assert predictor.end(signal.SIGTERM) == 0
    assert [version for version, _ in said.verdicts] == [None] * 5 + [first] * 5 + [second] * 5
    assert [verdict.status for _, verdict in said.verdicts] == (
        [Status.NO_MODEL] * 5 + [Status.NORMAL] * 10
    )


def test_every_replica_hears_of_a_promotion(world: World, until: Until, tmp_path: Path) -> None:
    """By `model.events` alone: the aliases are looked at once an hour."""
    hourly = {"FAULTLINE_PREDICTOR_MODEL_POLL_S": "3600"}
    first = world.register(boundary=2.0)
    # A shelf of bundles is one process's own.
    apart = {**hourly, "FAULTLINE_STATE_DIR": str(tmp_path / "other")}
    with world.predictor(**hourly) as one, world.predictor(**apart) as other:
        for predictor in (one, other):
            until(partial(predictor.judges_by, world.kind, first), "the first version")
        second = world.register(boundary=3.0)
        world.announce(second)
        for predictor in (one, other):
            until(partial(predictor.judges_by, world.kind, second), "the second version")


def test_a_version_with_a_longer_window_goes_on_from_stored_rows(
    world: World, until: Until
) -> None:
    """The first one's window is short, and so are the rows that are kept of the machine."""
    world.register(boundary=2.0)
    with world.recorder(), world.predictor() as predictor:
        world.send(range(250))
        world.wait_for(range(250))
        until(lambda: world.stored() == 250, "250 stored readings")
        longer = world.register(boundary=3.0, window_rows=200)
        until(partial(predictor.judges_by, world.kind, longer), "the version with a longer window")
        world.send(range(250, 255))
        world.wait_for(range(250, 255))
        filled = 'faultline_predictor_warm_ups_total{outcome="filled"} 1.0'
        until(lambda: filled in predictor.http.get("/metrics").text, "a window that is filled")
        world.send(range(255, 260))
        said = world.wait_for(range(260))
    statuses = [verdict.status for _, verdict in said.verdicts]
    assert statuses[250] is Status.WARMING_UP
    assert statuses[255:] == [Status.NORMAL] * 5
