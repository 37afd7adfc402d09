from pathlib import Path

import numpy as np
import pytest

from faultline.alarm_rule import alarm_rule
from faultline.alarms import AlarmPolicy
from faultline.detector import MachineHistory
from faultline.detector.evaluation import NotEvaluated, evaluate
from faultline.detector.fit import FitConfig, fit
from services.trainer.cluster_plots import draw_discrimination, draw_map
from services.trainer.plots import draw_plots
from services.trainer.windows import WindowSample, sample_windows

PNG = b"\x89PNG\r\n\x1a\n"
STRANGE = ("$\\frac{", "Öl_°C", "流量", "a" * 128, "tab\\")


def a_history(machine_id: str, seed: int = 0, rows: int = 200) -> MachineHistory:
    values = np.random.default_rng(seed).normal(size=(rows, len(STRANGE)))
    return MachineHistory(machine_id, np.arange(rows, dtype=np.int64) * 1000, values)


@pytest.mark.parametrize("machines", [1, 14])
def test_every_plot_is_drawn_whatever_things_are_called(tmp_path: Path, machines: int) -> None:
    histories = [a_history(f"$x_{number}^流", number) for number in range(machines)]
    config = FitConfig(k_max=3)
    evaluation = evaluate(STRANGE, histories, config, fit, alarm_rule(AlarmPolicy()))
    fitted = fit(STRANGE, histories, config)
    sample = sample_windows(fitted.detector, STRANGE, histories)
    draw_plots(tmp_path, fitted, evaluation, sample)
    apart = {"sensors_that_tell_clusters_apart.png": PNG} if fitted.k > 1 else {}
    assert {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()} == {
        "silhouette_by_k.png": PNG,
        "score_timeline.png": PNG,
        "cluster_profiles.png": PNG,
        "cluster_map.png": PNG,
        **apart,
        "injected_recall.png": PNG,
    }


def test_one_cluster_is_drawn_too(tmp_path: Path) -> None:
    config = FitConfig(k_min=3, k_max=3, smallest_cluster_share=0.499)
    histories = [a_history("pump-1")]
    fitted = fit(STRANGE, histories, config)
    assert fitted.k == 1
    sample = sample_windows(fitted.detector, STRANGE, histories)
    draw_plots(tmp_path, fitted, NotEvaluated("too short"), sample)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_tells_clusters_apart_is_drawn_where_there_are_several(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    means = np.concatenate([random.normal(0, 1, (50, 1)), random.normal(9, 1, (50, 1))])
    sample = WindowSample(("$flow",), means, np.repeat([0, 1], 50), np.array([[0.0], [9.0]]))
    draw_map(tmp_path / "map.png", sample)
    draw_discrimination(tmp_path / "apart.png", sample)
    assert [path.read_bytes()[:8] for path in sorted(tmp_path.iterdir())] == [PNG, PNG]
