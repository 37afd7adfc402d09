"""The forms that are compared hold the same values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bench.row_format import (
    MACHINES,
    SENSORS,
    Figures,
    best,
    make_readings,
    of_arrays,
    of_documents,
    to_array,
    to_document,
)


@pytest.mark.parametrize("decimals", [3, 12])
def test_both_forms_give_back_what_was_stored(decimals: int) -> None:
    readings = make_readings(20, decimals)
    values = np.array([[reading.sensors[name] for name in SENSORS] for reading in readings])
    documents = [to_document(reading).encode() for reading in readings]
    arrays = [to_array(reading).removeprefix("1\t").encode() for reading in readings]
    assert_array_equal(of_documents(documents), values)
    assert_array_equal(of_arrays(arrays), values)


def test_each_machine_has_a_reading_a_second() -> None:
    of_one = [reading for reading in make_readings(3 * MACHINES, 3) if "07" in reading.machine_id]
    assert np.diff([reading.timestamp_ms for reading in of_one]).tolist() == [1_000, 1_000]


def test_of_several_turns_the_least_of_each_figure_counts() -> None:
    turns = [Figures(1, 2, 3, 4, 5, 6, 7, 8), Figures(8, 7, 6, 5, 4, 3, 2, 1)]
    assert best(turns) == Figures(1, 2, 3, 4, 4, 3, 2, 1)
