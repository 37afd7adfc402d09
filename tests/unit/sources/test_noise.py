from __future__ import annotations

import numpy as np
import pytest

from faultline.sources.noise import CHUNK_ROWS, correlated_noise, white_noise

KEY = (3, 1, 4)


def test_correlated_noise_goes_on_from_one_chunk_to_the_next() -> None:
    steps, edges = [], []
    for column in range(20):
        one, two = (correlated_noise((*KEY, column), chunk, 1, rows=90.0) for chunk in (7, 8))
        steps.append(np.abs(np.diff(one[:, 0])).mean())
        edges.append(abs(two[0, 0] - one[-1, 0]))
    assert np.mean(edges) == pytest.approx(np.mean(steps), rel=0.6)


@pytest.mark.parametrize("rows", [8.0, 90.0])
def test_its_autocorrelation_falls_to_1_over_e_in_its_time_constant(rows: float) -> None:
    noise = np.vstack([correlated_noise(KEY, chunk, 8, rows) for chunk in range(20, 40)])
    lag = int(rows)
    correlation = np.mean(noise[:-lag] * noise[lag:]) / np.mean(noise**2)
    assert correlation == pytest.approx(np.exp(-1), abs=0.08)


def test_its_standard_deviation_is_1() -> None:
    noise = np.vstack([correlated_noise(KEY, chunk, 8, 8.0) for chunk in range(20, 30)])
    assert noise.std() == pytest.approx(1.0, abs=0.03)


def test_the_chunk_at_the_epoch_has_one_before_it() -> None:
    assert correlated_noise(KEY, 0, 2, 8.0).shape == (CHUNK_ROWS, 2)


def test_chunks_are_independent_of_each_other() -> None:
    one, two = white_noise(KEY, 1, 1)[:, 0], white_noise(KEY, 2, 1)[:, 0]
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.06
