"""Packs a training into what the registry takes: a run with its files, tags and a description."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from faultline.events import model_name
from faultline.ports.registry import ScoringForm, TrainingRun
from services.trainer import record, semantic_version
from services.trainer.dataset_files import dataset_input
from services.trainer.description import description
from services.trainer.evidence import Draw, Trained, write_evidence
from services.trainer.figures import metrics
from services.trainer.record import Circumstances
from services.trainer.usage import Meter


class Packed(NamedTuple):
    """A run to be logged, and what the version that it becomes says of itself."""

    run: TrainingRun
    version_tags: Mapping[str, str]
    description: str


def pack(
    folder: Path,
    trained: Trained,
    circumstances: Circumstances,
    *,
    draw: Draw,
    meter: Meter,
    snapshot_max_bytes: int,
) -> Packed:
    """Write the files of a run into an empty folder, and all that is said of it.

    Parameters
    ----------
    draw
        Draws the plots into a folder.
    meter
        Measures since the training began.
    snapshot_max_bytes
        Rows that take more are kept by reference.
    """
    lineage = record.lineage(trained, circumstances)
    evidence = write_evidence(
        folder,
        trained,
        draw,
        lineage=lineage,
        created_ms=circumstances.at_ms,
        threads=circumstances.threads,
        snapshot_max_bytes=snapshot_max_bytes,
    )
    tags = record.version_tags(trained, lineage, evidence.bundle_sha256)
    told = description(trained, lineage[semantic_version.TAG], evidence.discrimination)
    run = TrainingRun(
        experiment=model_name(trained.dataset.machine_type),
        name=record.run_name(circumstances),
        params=record.params(trained, circumstances),
        metrics=metrics(trained, meter.read()),
        tags={
            **record.run_tags(lineage, told),
            record.GATE_TAG: tags[record.GATE_TAG],
            record.SUM_TAG: evidence.bundle_sha256,
        },
        artifacts=folder,
        dataset=dataset_input(trained.dataset),
        scoring=ScoringForm(trained.fit.detector.sensors, trained.dataset.step_ms),
        began_at_ms=circumstances.began_at_ms,
    )
    return Packed(run, tags, told[: record.LONGEST_NOTE])
