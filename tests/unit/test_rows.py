"""Readings as rows: which come in order, in which columns they stand."""

from __future__ import annotations

import doctest

import numpy as np

from faultline import rows
from faultline.detector import Window
from faultline.readings import MAX_SENSORS


def test_the_examples_are_true() -> None:
    assert doctest.testmod(rows).failed == 0


def test_readings_are_compared_with_the_rows_kept_at_their_turn() -> None:
    kept = np.arange(0, 50, 10)
    in_order, duplicate = rows.sift(kept, np.array([30, 50, 60, 30, 20]), keep_rows=4)
    assert in_order.tolist() == [False, True, True, False, False]
    assert duplicate.tolist() == [True, False, False, True, False]


def test_sensors_in_another_order_land_in_their_columns() -> None:
    readings: list[dict[str, float | None]] = [{"b": 2.0, "a": 1.0}, {"a": 3.0, "b": None}]
    values = rows.values_of(rows.columns_of(("a",), readings), readings)
    assert np.array_equal(values, [[1.0, 2.0], [3.0, np.nan]], equal_nan=True)


def test_of_too_many_columns_the_needed_and_the_most_recent_stay() -> None:
    names = tuple(f"s{number}" for number in range(MAX_SENSORS + 2))
    values = np.ones((3, len(names)))
    values[1:, :3] = np.nan
    tidy = rows.tidied(Window(names, np.arange(3), values), needed=("s0",))
    assert set(names) - set(tidy.sensors) == {"s1", "s2"}
