"""Rows of a table that have no time follow at the usual step of the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faultline.readings import make_reading
from services.predictor.rows import Rows
from services.predictor.tables import Table, from_json

World = Any
STEP_MS = 15_000
ROWS = b'{"dataframe_records": [{"flow": 1}, {"flow": 2}, {"flow": 3}]}'


@pytest.fixture
def table() -> Table:
    return from_json(ROWS)


@pytest.fixture
def world(world: World, register: Callable[..., Any]) -> World:
    register()
    world.predictor.loader.refresh()
    return world


def trained_at(world: World, step_ms: int | None) -> Rows:
    slot = world.predictor.slot
    slot.swap("pump", replace(slot.loaded()["pump"], step_ms=step_ms))
    return Rows(world.predictor.fleet, slot)


def times(rows: Rows, table: Table, machine_id: str) -> list[int]:
    query = {"machine_type": "pump", "machine_id": machine_id}
    return [one.timestamp_ms for one in rows.readings(table, query)]


@pytest.mark.parametrize(("step_ms", "used_ms"), [(STEP_MS, STEP_MS), (None, 1)])
def test_rows_of_a_new_machine_begin_at_0(
    world: World, table: Table, step_ms: int | None, used_ms: int
) -> None:
    assert times(trained_at(world, step_ms), table, "new") == [0, used_ms, 2 * used_ms]


def test_rows_of_a_machine_that_is_streamed_follow_its_last_reading(
    world: World, table: Table
) -> None:
    rows = trained_at(world, STEP_MS)
    with world.streaming([make_reading("pump-1", 7_000, {"flow": 1.0}, "pump")]):
        assert times(rows, table, "pump-1") == [22_000, 37_000, 52_000]
