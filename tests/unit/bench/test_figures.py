"""F1, false and missed alarm rate, on counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.figures import Confusion, Figures, as_json, difference, pooled


def test_rows_are_counted_by_label_and_prediction() -> None:
    predicted = np.array([1, 1, 1, 0, 0, 0, 0, 1], dtype=bool)
    actual = np.array([1, 1, 0, 0, 0, 0, 1, 0], dtype=bool)

    counted = Confusion.of(predicted, actual)

    assert counted == Confusion(
        true_positives=2, false_positives=2, false_negatives=1, true_negatives=3
    )


def test_the_figures_are_those_computed_by_hand() -> None:
    counted = Confusion(true_positives=6, false_positives=2, false_negatives=4, true_negatives=38)

    assert counted.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert counted.far_percent == pytest.approx(5.0)
    assert counted.mar_percent == pytest.approx(40.0)


def test_pooling_adds_rows_and_does_not_average_rates() -> None:
    large = Figures(rows=Confusion(0, 10, 10, 80))
    small = Figures(rows=Confusion(10, 0, 0, 0))

    whole = pooled({"large": large, "small": small}).rows

    assert whole == Confusion(10, 10, 10, 80)
    assert whole.f1 == pytest.approx(0.5)
    assert whole.far_percent == pytest.approx(100 * 10 / 90)


def test_a_method_that_finds_nothing_has_f1_zero_and_misses_all() -> None:
    counted = Confusion(false_negatives=5, true_negatives=5)

    assert (counted.f1, counted.far_percent, counted.mar_percent) == (0.0, 0.0, 100.0)


def test_a_difference_is_what_grew() -> None:
    before, after = Confusion(6, 2, 4, 38), Confusion(8, 4, 2, 36)

    assert difference(before, after) == ["+0.061", "+5.00", "-20.00"]


def test_json_holds_rows_and_alarms_of_each_group_and_of_all() -> None:
    figures = Figures(rows=Confusion(6, 2, 4, 38), alarms=Confusion(0, 0, 10, 40))

    written = as_json({"method": {"valve1": figures, "other": figures}})["method"]

    assert set(written) == {"valve1", "other", "all"}
    assert written["all"]["rows"]["far_percent"] == pytest.approx(5.0)
    assert written["all"]["alarm"]["mar_percent"] == pytest.approx(100.0)
