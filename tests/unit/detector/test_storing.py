from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector import Detector, Window
from faultline.detector.fit import Fit

MakeRows = Callable[..., NDArray[np.float64]]
SENSORS = ("a", "b", "c")


def detector() -> Detector:
    return Detector(
        sensors=SENSORS,
        window_rows=4,
        max_gap_ms=10_000,
        centre=np.array([10.0, -5.0, 0.0]),
        scale=np.array([1.0, 2.0, 0.5]),
        spread=np.array([2.0, 2.0, 2.0]),
        clusters=np.array([[0.0, 0.0, 0.0], [6.0, 6.0, 6.0]]),
        boundary=3.0,
        unknown_score=2.0,
    )


def test_a_detector_survives_json_and_arrays_exactly(fitted: Fit, make_rows: MakeRows) -> None:
    judge, values = fitted.detector, make_rows(4, 200)
    window, times = Window.empty(judge.sensors), 1_000 * np.arange(200, dtype=np.int64)

    parameters = json.loads(json.dumps(judge.parameters()))
    again = Detector.from_parts(parameters, judge.to_arrays())

    assert again.parameters() == judge.parameters()
    assert again.to_arrays().keys() == judge.to_arrays().keys()
    for machine_id in ("pump-1", "new"):
        whole, _ = judge.score(window, times, values, machine_id=machine_id)
        same, _ = again.score(window, times, values, machine_id=machine_id)
        assert_array_equal(same.score, whole.score)


@pytest.mark.parametrize(
    ("name", "damaged", "message"),
    [
        ("window_rows", 0, "at least 1"),
        ("window_rows", 2.5, "whole number"),
        ("boundary", float("nan"), "positive number"),
        ("boundary", "3", "must be a number"),
        ("sensors", ["a", "a", "b"], "distinct"),
        ("sensors", "abc", "list of names"),
        ("sensors", ["a", "b"], r"centre must be finite with the shape \(2,\)"),
    ],
)
def test_damaged_parameters_are_refused(name: str, damaged: object, message: str) -> None:
    parameters = {**detector().parameters(), name: damaged}

    with pytest.raises(ValueError, match=message):
        Detector.from_parts(parameters, detector().to_arrays())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (np.array([1.0, 2.0, 0.0]), "positive"),
        (np.array([1.0, 2.0, np.inf]), "finite"),
        (np.array([1, 2, 3]), "float64"),
        (np.array([[1.0, 2.0, 3.0]]), "shape"),
    ],
)
def test_damaged_arrays_are_refused(damaged: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detector.from_parts(detector().parameters(), {**detector().to_arrays(), "scale": damaged})


def test_an_absent_part_is_named() -> None:
    arrays = detector().to_arrays()
    del arrays["clusters"]

    with pytest.raises(ValueError, match="'clusters' is absent"):
        Detector.from_parts(detector().parameters(), arrays)


def test_the_limits_of_sensors_survive_exactly(fitted: Fit) -> None:
    judge = fitted.detector

    again = Detector.from_parts(judge.parameters(), judge.to_arrays())

    assert judge.limits is not None
    assert again.limits is not None
    for own, read in zip(astuple(judge.limits), astuple(again.limits), strict=True):
        assert read.dtype == own.dtype
        assert_array_equal(read, own)


@pytest.mark.parametrize("absent", ["low", "high", "longest_run", "longest_silence"])
def test_limits_of_which_a_part_is_absent_are_refused(fitted: Fit, absent: str) -> None:
    arrays = fitted.detector.to_arrays()
    del arrays[absent]

    with pytest.raises(ValueError, match=f"'{absent}' is absent"):
        Detector.from_parts(fitted.detector.parameters(), arrays)
