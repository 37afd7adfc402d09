from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from faultline.detector import Window


def window() -> Window:
    return Window(
        ("a", "b"), np.array([1, 2, 3]), np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    )


def test_a_sensor_that_a_new_model_adds_is_missing_in_the_rows_before() -> None:
    assert_array_equal(window().aligned(("b", "new")).values[0], [10.0, np.nan])


def test_the_same_columns_leave_the_window_as_it_is() -> None:
    own = window()

    assert own.aligned(("a", "b")) is own


def test_a_window_keeps_the_last_rows() -> None:
    after = window().followed_by(np.array([4]), np.array([[4.0, 40.0]]), keep_rows=2)

    assert after.timestamps_ms.tolist() == [3, 4]
    assert_array_equal(after.values, [[3.0, 30.0], [4.0, 40.0]])


def test_a_window_does_not_hold_on_to_the_callers_batch() -> None:
    batch = np.arange(20.0).reshape(10, 2)

    after = window().followed_by(np.arange(4, 14), batch, keep_rows=2)
    batch[:] = 0

    assert_array_equal(after.values, [[16.0, 17.0], [18.0, 19.0]])


def test_values_that_do_not_fit_the_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ask for \(1, 2\)"):
        Window(("a", "b"), np.array([1]), np.array([[1.0]]))


def test_the_last_rows_of_a_window_do_not_hold_on_to_the_others() -> None:
    last = window().last(2)

    assert last.timestamps_ms.tolist() == [2, 3]
    assert_array_equal(last.values, [[2.0, 20.0], [3.0, 30.0]])
    assert last.values.base is None


def test_a_window_that_is_short_enough_is_its_own_last_rows() -> None:
    own = window()

    assert own.last(3) is own
