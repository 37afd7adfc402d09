"""The files of a run: the bundle, the rows, the plots, and what was decided on what.

It writes a folder; it must not know where that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from faultline.bundle import golden_batch, write_bundle
from faultline.detector import MachineHistory
from faultline.detector.config import FitConfig
from faultline.detector.evaluation import NotEvaluated
from faultline.detector.fit import Fit
from faultline.detector.reference import make_reference
from faultline.events import model_name
from faultline.gate_report import GateReport
from faultline.readings import format_timestamp
from faultline.recipe import FOLDER
from faultline.rows import take
from services.trainer.dataset import Dataset
from services.trainer.dataset_files import write_dataset
from services.trainer.evaluation import Evaluation
from services.trainer.gate_page import write_gate
from services.trainer.windows import WindowSample, discrimination, sample_windows

Draw = Callable[[Path, Fit, Evaluation, WindowSample], None]


class Trained(NamedTuple):
    """What a training came to, before it is registered."""

    dataset: Dataset
    config: FitConfig
    fit: Fit
    gate: GateReport
    evaluation: Evaluation

    @property
    def silhouette(self) -> float | None:
        """Of the chosen clusters; None when there is one only."""
        return self.fit.silhouette if self.fit.k > 1 else None


@dataclass(frozen=True)
class Evidence:
    """What was written, as far as a run or a version names it.

    Attributes
    ----------
    bundle_sha256
        The bundle's sum.
    discrimination
        See `services.trainer.windows.discrimination`; empty with one cluster.
    """

    bundle_sha256: str
    discrimination: Mapping[str, float]


def write_evidence(
    folder: Path,
    trained: Trained,
    draw: Draw,
    *,
    lineage: Mapping[str, Any],
    created_ms: int,
    threads: int,
    snapshot_max_bytes: int,
) -> Evidence:
    """Write all files of a run.

    Parameters
    ----------
    folder
        Empty; gets ``model/``, ``plots/``, ``dataset/`` and pages about the clusters, the gate, the
        injected faults and the dataset.
    draw
        Draws the plots into a folder.
    lineage
        For the bundle's manifest.
    created_ms
        Milliseconds since the epoch.
    threads
        That the fit was allowed.
    snapshot_max_bytes
        Rows that take more are kept by reference.
    """
    dataset, config, fit, gate, evaluation = trained
    sample = sample_windows(fit.detector, dataset.sensors, dataset.histories)
    apart = discrimination(sample) if fit.k > 1 else {}
    plots = folder / "plots"
    plots.mkdir(parents=True)
    draw(plots, fit, evaluation, sample)
    _write(
        folder / "cluster_profiles.json",
        {"clusters": fit.profiles, "between_over_within_variance": apart},
    )
    write_gate(folder, "gate", gate, gate.decision)
    _write(
        folder / "injected_faults.json",
        {"not_evaluated": evaluation.reason}
        if isinstance(evaluation, NotEvaluated)
        else evaluation.as_dict(),
    )
    _write(folder / "dataset.json", _described(trained))
    write_dataset(folder / FOLDER, dataset, config, threads, snapshot_max_bytes)
    golden = golden_batch(fit.detector, _most_scored(dataset, fit))
    bundle_sha256 = write_bundle(
        folder / "model",
        fit.detector,
        golden,
        model_name=model_name(dataset.machine_type),
        machine_type=dataset.machine_type,
        created_ms=created_ms,
        lineage=lineage,
        summary={
            "k": fit.k,
            "silhouette": trained.silhouette,
            "silhouette_rows": fit.silhouette_rows,
            "silhouette_metric": "euclidean",
            "held_out_alarm_rate": fit.held_out_alarm_rate,
            "gate": gate.passed,
            "settings": asdict(config),
        },
        reference=make_reference(
            fit.detector,
            dataset.sensors,
            dataset.histories,
            [timeline.scores for timeline in fit.timelines],
        ),
        step_ms=dataset.step_ms,
    )
    return Evidence(bundle_sha256, apart)


def _most_scored(dataset: Dataset, fit: Fit) -> MachineHistory:
    """The machine with the most scored windows, its columns as the detector's."""
    machine_id = max(fit.timelines, key=lambda timeline: len(timeline.scores)).machine_id
    history = next(one for one in dataset.histories if one.machine_id == machine_id)
    return MachineHistory(
        machine_id,
        history.timestamps_ms,
        take(dataset.sensors, history.values, fit.detector.sensors),
    )


def _described(trained: Trained) -> dict[str, Any]:
    dataset, fit = trained.dataset, trained.fit
    return {
        "machine_type": dataset.machine_type,
        "data_version": dataset.data_version,
        "rows": dataset.rows,
        "rows_left_out": dataset.left_out_rows,
        "left_out": dataset.left_out,
        "windows_learnt_from": fit.used_rows,
        "sensors": {
            "used": fit.detector.sensors,
            "left_out": fit.left_out_sensors,
            "slow": fit.slow_sensors,
        },
        "window": {
            "rows": fit.detector.window_rows,
            "reason": fit.window_reason,
            "period_rows": fit.period_rows,
        },
        "clusters": {"k": fit.k, "reason": fit.k_reason, "candidates": fit.candidates},
        "distance": {"kind": fit.detector.distance, "reason": fit.distance_reason},
        "machines": [
            {
                "machine_id": history.machine_id,
                "own_baseline": history.machine_id in fit.detector.machines,
                "rows": len(history.timestamps_ms),
                "start": format_timestamp(int(history.timestamps_ms[0])),
                "end": format_timestamp(int(history.timestamps_ms[-1])),
            }
            for history in dataset.histories
        ],
        "held_out_blocks": [
            {
                "machine_id": block.machine_id,
                "start": format_timestamp(block.start_ms),
                "end": format_timestamp(block.end_ms),
                "windows": block.windows,
                "high_score": block.high_score,
                "alarm_rate": block.alarm_rate,
            }
            for block in fit.held_out_blocks
        ],
    }


def _write(path: Path, document: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
