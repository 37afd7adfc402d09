from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.detector.usable import unusable_sensors

Column = NDArray[np.float64]


def random(seed: int, rows: int = 300) -> Column:
    return np.random.default_rng(seed).normal(size=rows)


def reasons(**columns: Column) -> dict[str, str]:
    values = np.column_stack(list(columns.values()))
    half = len(values) // 2
    times = 1_000 * np.arange(len(values), dtype=np.int64)
    return unusable_sensors(
        list(columns),
        [
            MachineHistory("a", times[:half], values[:half]),
            MachineHistory("b", times[half:], values[half:]),
        ],
    )


def holed(values: Column, every: int) -> Column:
    return np.where(np.arange(len(values)) % every == 0, np.nan, values)


def test_a_column_that_equals_an_earlier_one_is_left_out_by_name() -> None:
    flow = random(0)

    assert reasons(flow=flow, heat=random(1), flow_copy=flow) == {"flow_copy": "the same as flow"}


@given(
    scale=st.floats(1e-6, 1e6).flatmap(lambda size: st.sampled_from([size, -size])),
    offset=st.floats(-1e3, 1e3),
)
def test_a_column_in_other_units_is_the_same(scale: float, offset: float) -> None:
    kelvin = 300.0 + random(0)
    # An offset in units of the scale: far larger ones leave no digits to compare.
    other = scale * (kelvin + offset)
    assume(not np.array_equal(other, kelvin))

    assert reasons(kelvin=kelvin, other=other) == {
        "other": "the same as kelvin but for scale and offset"
    }


def test_all_copies_are_copies_of_the_first() -> None:
    flow = random(0)

    assert reasons(a=flow, b=2 * flow, c=3 * flow, d=flow) == {
        "b": "the same as a but for scale and offset",
        "c": "the same as a but for scale and offset",
        "d": "the same as a",
    }


def test_a_copy_with_the_same_values_missing_is_a_copy() -> None:
    flow = holed(random(0), 7)

    assert reasons(flow=flow, copy=flow + 1) == {
        "copy": "the same as flow but for scale and offset"
    }


def test_equal_values_that_are_missing_in_other_rows_are_no_copy() -> None:
    flow = random(0)

    assert reasons(flow=holed(flow, 7), other=holed(flow, 8)) == {}


def test_the_same_values_one_row_later_are_no_copy() -> None:
    flow, hole = random(0), [np.nan]

    assert reasons(flow=np.append(flow, hole), later=np.append(hole, flow)) == {}


def test_two_instruments_that_measure_the_same_are_no_copies() -> None:
    flow = random(0)

    assert reasons(flow=flow, second=flow + 1e-4 * random(1)) == {}


def test_columns_that_differ_in_one_row_are_no_copies() -> None:
    flow = random(0)
    other = flow.copy()
    other[123] += 0.01

    assert reasons(flow=flow, other=other) == {}


def test_a_switch_and_the_valve_it_opens_are_both_kept() -> None:
    switch = (random(0) > 0).astype(np.float64)

    assert reasons(switch=switch, valve=20 + 60 * switch) == {}
    assert reasons(switch=switch, same=switch) == {"same": "the same as switch"}


def test_a_constant_column_is_called_constant_and_no_copy() -> None:
    fixed = np.full(300, 3.0)

    assert reasons(flow=random(0), fixed=fixed, also=fixed) == {
        "fixed": "constant: always 3",
        "also": "constant: always 3",
    }


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_the_largest_and_the_smallest_values_are_compared_too(size: float) -> None:
    assert reasons(flow=random(0), huge=size * random(0)) == {
        "huge": "the same as flow but for scale and offset"
    }


def test_in_a_long_history_one_different_row_is_enough_and_a_copy_is_still_found() -> None:
    flow, rare = random(0, 50_000), np.zeros(50_000)
    rare[11_111:11_133] = np.arange(22.0)
    other = flow.copy()
    other[12_347] += 0.01

    assert reasons(flow=flow, rare=rare, other=other, also=-flow, seldom=5 * rare) == {
        "also": "the same as flow but for scale and offset",
        "seldom": "the same as rare but for scale and offset",
    }


def test_columns_that_share_one_outage_of_the_logger_are_no_copies() -> None:
    flow, heat = random(0), random(1)
    flow[17] = heat[17] = 1e9

    assert reasons(flow=flow, heat=heat) == {}


def test_columns_that_rest_but_for_other_rows_are_no_copies() -> None:
    rare, other = np.zeros((2, 300))
    rare[100:111] = other[200:211] = np.arange(1.0, 12.0)

    assert reasons(rare=rare, other=other, copy=3 * rare) == {
        "copy": "the same as rare but for scale and offset"
    }
