from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from faultline.detector import Contribution, Detector, Window
from faultline.detector.explanation import sentence


def part(
    sensor: str,
    share: float,
    observed: float = 5.0,
    low: float = 6.0,
    high: float = 7.0,
    direction: Literal["high", "low"] = "low",
) -> Contribution:
    return Contribution(sensor, share, observed, (low + high) / 2, low, high, direction)


def test_the_sentence_names_the_first_sensor_with_its_range_and_the_others_by_direction() -> None:
    parts = [
        part("efficiency", 0.62, 55.6, 59.01, 59.31),
        part("flow_1", 0.31),
        part("heat", 0.07),
    ]

    assert sentence("pump-07", parts) == (
        "pump-07: efficiency 55.6, expected 59 to 59.3 (62 % of the deviation); flow_1 low (31 %)"
    )


def test_the_sentence_says_high_of_what_is_high() -> None:
    parts = [part("a", 0.5, 9.0, direction="high"), part("b", 0.4, direction="high")]

    assert sentence("m", parts) == "m: a 9, expected 6 to 7 (50 % of the deviation); b high (40 %)"


def test_the_sentence_names_three_sensors_at_most() -> None:
    parts = [part(name, 0.25) for name in "abcd"]

    assert sentence("m", parts).endswith("; b low (25 %); c low (25 %)")


@pytest.mark.parametrize(("share", "is_named"), [(0.1, True), (0.09, False)])
def test_the_sentence_leaves_out_what_hardly_deviates(share: float, is_named: bool) -> None:
    assert ("b low" in sentence("m", [part("a", 1 - share), part("b", share)])) is is_named


def test_the_sentence_without_any_sensor_says_so() -> None:
    assert sentence("m", []) == "m: no sensor deviates"


@pytest.mark.parametrize(
    ("observed", "low", "high", "said"),
    [
        (1013.872, 1013.212, 1013.298, "1013.9, expected 1013.2 to 1013.3 "),
        (0.00123456, 0.001, 0.002, "0.00123, expected 0.001 to 0.002 "),
        (-5.5555, -4.0, -3.0, "-5.56, expected -4 to -3 "),
        (5.0, 7.0, 7.0, "5, expected 7 to 7 "),
        (123456.7, 1000.4, 1001.4, "1.235e+05, expected 1000 to 1001 "),
        (48.98, 49.04, 49.3, "48.98, expected 49.04 to 49.3 "),
    ],
)
def test_numbers_have_as_many_digits_as_tell_the_range_apart(
    observed: float, low: float, high: float, said: str
) -> None:
    assert said in sentence("m", [part("a", 1.0, observed, low, high)])


def joined() -> Detector:
    """Two sensors that move together, and one on its own."""
    return Detector(
        sensors=("flow", "pressure", "heat"),
        window_rows=1,
        max_gap_ms=10_000,
        centre=np.array([10.0, 4.0, 50.0]),
        scale=np.array([2.0, 0.5, 1.0]),
        spread=np.array([2.0, 0.5, 1.0]),
        clusters=np.zeros((1, 3)),
        boundary=3.0,
        unknown_score=2.0,
        covariance=np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    )


def explained(values: list[float]) -> dict[str, Contribution]:
    detector = joined()
    scores, _ = detector.score(
        Window.empty(detector.sensors), np.array([0], dtype=np.int64), np.array([values])
    )
    return {one.sensor: one for one in detector.explain(scores, 0)}


def test_a_sensor_is_expected_where_the_others_put_it() -> None:
    # Flow is two scales up, so pressure should be 0.9 times two of its scales up too.
    pressure = explained([14.0, 4.0, 50.0])["pressure"]

    assert pressure.expected == pytest.approx(4.0 + 0.9 * 2 * 0.5)
    assert pressure.direction == "low"


def test_the_expected_range_is_three_deviations_of_what_the_others_leave_open() -> None:
    pressure = explained([14.0, 4.0, 50.0])["pressure"]

    left_open = 0.5 * np.sqrt(1 - 0.9**2)
    assert pressure.expected_high - pressure.expected == pytest.approx(3 * left_open)
    assert pressure.expected - pressure.expected_low == pytest.approx(3 * left_open)


def test_no_value_beyond_the_boundary_is_called_expected() -> None:
    near = replace(joined(), boundary=1.5, covariance=np.zeros((0, 0)))
    rows = np.array([[10.0, 4.0, 51.8]])
    scores, _ = near.score(Window.empty(near.sensors), np.array([0], dtype=np.int64), rows)
    heat = near.explain(scores, 0)[0]

    assert scores.score[0] > 1
    assert heat.observed > heat.expected_high == pytest.approx(51.5)


def test_a_sensor_far_out_of_its_own_range_is_expected_there_when_others_are_off_too() -> None:
    # By the others alone, pressure should be as far up as flow, where it has never been.
    parts = explained([90.0, 7.0, 50.0])

    assert parts["pressure"].expected == pytest.approx(4.0)
    assert parts["pressure"].expected_high == pytest.approx(5.5)
    assert parts["pressure"].direction == "high"
    assert parts["flow"].expected == pytest.approx(10.0)


def test_two_sensors_that_move_together_as_ever_are_not_blamed() -> None:
    parts = explained([12.0, 4.5, 53.0])

    assert parts["heat"].share > 0.85
    assert parts["heat"].direction == "high"
