"""What has outlived its retention, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.unit.trainer.conftest import World

DAY_MS = 86_400_000
URL = "/api/v1/ml/maintenance/retention"


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Half a year of age, and kept for a month."""
    made = make_world(retention_readings_days=30)
    made.store_rows(np.ones((20, 3)))
    made.clock.ms += 180 * DAY_MS
    return made


def ask(world: World, **body: Any) -> Any:
    return world.http.post(URL, json=body).raise_for_status().json()


def rows(world: World) -> int:
    return len(world.store.readings("pump-1").timestamps_ms)


def test_it_only_tells_unless_it_is_told_to_drop(world: World) -> None:
    told = ask(world)
    assert told["dry_run"] is True
    assert told["days"] == {"readings": 30, "verdicts": 0, "events": 0}
    [month] = told["expired"]
    assert (month["kind"], month["name"], month["rows"]) == ("readings", "readings_y2026m11", 20)
    assert (month["until"], month["dropped"]) == ("2026-12-01T00:00:00.000Z", False)
    assert rows(world) == 20


def test_it_drops_and_has_nothing_to_tell_afterwards(world: World) -> None:
    [month] = ask(world, dry_run=False)["expired"]
    assert month["dropped"] is True
    assert rows(world) == 0
    assert ask(world, dry_run=False)["expired"] == []


def test_what_is_not_told_to_be_dropped_in_the_settings_is_kept(
    make_world: Callable[..., World],
) -> None:
    kept = make_world()
    kept.store_rows(np.ones((5, 3)))
    kept.clock.ms += 10_000 * DAY_MS
    assert ask(kept, dry_run=False)["expired"] == []
    assert rows(kept) == 5
