"""The windows that plots are drawn of, and what tells their clusters apart."""

from __future__ import annotations

import numpy as np
import pytest

from faultline.detector import MachineHistory
from faultline.detector.fit import FitConfig, fit
from services.trainer.windows import WindowSample, discrimination, sample_windows


def test_the_sensor_that_differs_between_clusters_comes_first() -> None:
    random = np.random.default_rng(1)
    cluster = np.repeat([0, 1], 500)
    noise = random.normal(size=1000)
    apart = random.normal(size=1000) + 6.0 * cluster
    sample = WindowSample(
        ("noise", "apart"), np.column_stack([noise, apart]), cluster, np.zeros((2, 2))
    )
    found = discrimination(sample)
    assert list(found) == ["apart", "noise"]
    # Two clusters 6 apart: variance between them 9, within them 1.
    assert found["apart"] == pytest.approx(9.0, rel=0.15)
    assert found["noise"] < 0.02


def test_one_cluster_has_nothing_to_tell_apart() -> None:
    sample = WindowSample(("a",), np.zeros((5, 1)), np.zeros(5, dtype=np.int64), np.zeros((1, 1)))
    assert discrimination(sample) == {"a": 0.0}


def test_a_long_history_is_sampled_from_all_over() -> None:
    random = np.random.default_rng(2)
    level = np.repeat([0.0, 9.0], 2000)[:, np.newaxis]
    values = random.normal(size=(4000, 2)) + level
    histories = [MachineHistory("m", 1000 * np.arange(4000), values)]
    fitted = fit(("a", "b"), histories, FitConfig(k_max=2, window_rows=5))
    sample = sample_windows(fitted.detector, ("a", "b"), histories, most_rows=800)
    assert 400 < len(sample.means) <= 800
    assert set(sample.cluster.tolist()) == {0, 1}
    # In the detector's own scale: every window is near its cluster.
    away = np.linalg.norm(sample.means - sample.centres[sample.cluster], axis=1)
    assert np.median(away) < np.linalg.norm(sample.centres[0] - sample.centres[1]) / 4
