from pathlib import Path

import numpy as np
import pytest

from faultline.alarm_rule import alarm_rule
from faultline.alarms import AlarmPolicy
from faultline.detector import MachineHistory
from faultline.detector.evaluation import NotEvaluated, evaluate
from faultline.detector.fit import FitConfig, fit
from services.trainer.plots import draw_plots

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
    draw_plots(tmp_path, fit(STRANGE, histories, config), evaluation)
    assert {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()} == {
        "silhouette_by_k.png": PNG,
        "score_timeline.png": PNG,
        "cluster_profiles.png": PNG,
        "injected_recall.png": PNG,
    }


def test_one_cluster_is_drawn_too(tmp_path: Path) -> None:
    config = FitConfig(k_min=3, k_max=3, smallest_cluster_share=0.499)
    fitted = fit(STRANGE, [a_history("pump-1")], config)
    assert fitted.k == 1
    draw_plots(tmp_path, fitted, NotEvaluated("too short"))
    assert len(list(tmp_path.iterdir())) == 3
