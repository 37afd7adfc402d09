"""The shape view: only the form of a window counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory, Scores, Window
from faultline.detector.fit import FitConfig, fit
from faultline.detector.shape import segments_of, shapes

ROWS, CYCLE = 1_200, 24
CONFIG = FitConfig(window_rows=CYCLE, shape=True)


def _pulses(rows: int = ROWS, seed: int = 0) -> NDArray[np.float64]:
    """Two sensors that repeat a form, noisily; the second one half a cycle later."""
    phase = 2 * np.pi * np.arange(rows) / CYCLE
    wave = np.sin(phase) + 0.5 * np.sin(2 * phase)
    noise = np.random.default_rng(seed).normal(scale=0.05, size=(rows, 2))
    return np.column_stack((wave, np.roll(wave, CYCLE // 2))) + noise


def _times(rows: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(rows, dtype=np.int64)


@pytest.fixture(scope="module")
def detector() -> Detector:
    history = MachineHistory("press", _times(ROWS), _pulses())
    return fit(["stroke", "force"], [history], CONFIG).detector


def _scores(detector: Detector, values: NDArray[np.float64]) -> Scores:
    return detector.score(
        Window.empty(detector.sensors), _times(len(values)), values, machine_id="press"
    )[0]


def test_level_and_size_make_no_difference_and_the_form_does(detector: Detector) -> None:
    values = _pulses(seed=1)
    plain = _scores(detector, values).score
    assert np.nanquantile(plain, 0.95) < 1.0
    np.testing.assert_allclose(_scores(detector, 3.0 + 4.0 * values).score, plain, rtol=1e-6)
    bent = values.copy()
    bent[600:, 1] = np.abs(bent[600:, 1])
    assert np.nanmedian(_scores(detector, bent).score[640:]) > 1.0


def test_the_sensor_whose_form_is_bent_is_named_once(detector: Detector) -> None:
    bent = _pulses(seed=1)
    bent[600:, 1] = np.abs(bent[600:, 1])
    scores = _scores(detector, bent)
    parts = detector.explain(scores, int(np.nanargmax(scores.score)))
    assert [part.sensor for part in parts] == ["force", "stroke"]
    assert sum(part.share for part in parts) == pytest.approx(1.0)


def test_rows_one_by_one_have_the_same_scores(detector: Detector) -> None:
    values = _pulses(rows=120, seed=2)
    values[60:70, 0] = np.nan
    whole = _scores(detector, values)
    window, adaptation, single = Window.empty(detector.sensors), None, []
    for row, at_ms in enumerate(_times(120)):
        scores, window = detector.score(
            window,
            np.array([at_ms]),
            values[row : row + 1],
            machine_id="press",
            adaptation=adaptation,
        )
        adaptation = scores.adaptation
        single.append(scores.score[0])
    np.testing.assert_array_equal(single, whole.score)


def test_no_rows_have_no_scores(detector: Detector) -> None:
    nothing = np.empty((0, 2))
    scores, window = detector.score(Window.empty(detector.sensors), _times(0), nothing)
    assert (len(scores.score), len(window)) == (0, 0)


def test_it_survives_being_stored(detector: Detector) -> None:
    again = Detector.from_parts(detector.parameters(), detector.to_arrays())
    values = _pulses(seed=3)
    np.testing.assert_array_equal(_scores(again, values).score, _scores(detector, values).score)


def test_a_flat_window_has_no_form() -> None:
    noise = 1e-3 * np.random.default_rng(0).normal(size=(100, 1))
    assert np.abs(shapes(noise, CYCLE)[0]).max() < 0.1


def test_a_stretch_without_a_value_is_missing() -> None:
    values = np.arange(16.0)[:, np.newaxis]
    values[:2] = np.nan
    features, counts = shapes(values, 16)
    assert (segments_of(16), counts[0].tolist()) == (8, [14.0] * 8)
    assert np.isnan(features[0]).tolist() == [True] + 7 * [False]


def test_slow_sensors_and_single_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no level counts"):
        replace(CONFIG, slow_sensors=("stroke",))
    with pytest.raises(ValueError, match="at least 2 rows"):
        replace(CONFIG, window_rows=1)
