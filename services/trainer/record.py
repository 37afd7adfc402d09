"""What a run and a version say of themselves: parameters and tags.

Words for people and clients of the registry; nothing of Faultline decides by them but the gate's
tag, the job's id, the bundle's sum, what the semantic version is counted by, and what a version of
the same is known by (`services.trainer.repetition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

from faultline import __version__
from faultline.gate_report import Decision
from faultline.ports.jobs import TrainingJob
from faultline.readings import format_timestamp
from services.trainer import semantic_version
from services.trainer.evidence import Trained
from services.trainer.figures import figure_tags
from services.trainer.wording import left_out, names, reasons

JOB_TAG = "job_id"
GATE_TAG = "gate"
GATE_REASON_TAG = "gate_reason"
SHADOW_TAG = "shadow"
"""What the gate says of a version's live readings in the shadow, once it has said so."""
REPLACES_TAG = "replaces_challenger"
"""The version that was the challenger until this one was registered."""
SUM_TAG = "bundle_sha256"
PASSED = Decision.PASSED.value

# MLflow refuses longer ones.
LONGEST_TAG = 4_000
_LONGEST_PARAM = 500
# And longer descriptions.
LONGEST_NOTE = 5_000
# What it shows as a run's description.
NOTE_TAG = "mlflow.note.content"

_OF_VERSIONS = frozenset(
    {
        semantic_version.TAG,
        "data_version",
        "dataset_version",
        "sensors_version",
        "settings_version",
        JOB_TAG,
        "model_type",
        "use_case",
        "training_date",
        "training_start",
        "training_end",
        "trigger",
        "git_commit",
        "faultline_version",
    }
)


class Circumstances(NamedTuple):
    """When, for which job, and by which code a training was done.

    Attributes
    ----------
    began_at_ms, at_ms
        When it began, and when the detector was fitted; milliseconds since the epoch.
    git_commit
        None when it is not known.
    before
        Tags of the newest version with a semantic version; None when there is none.
    threads
        That the fit was allowed.
    """

    job: TrainingJob
    began_at_ms: int
    at_ms: int
    git_commit: str | None
    before: Mapping[str, str] | None
    threads: int


def run_name(circumstances: Circumstances) -> str:
    """Name of the run: the machine type and when it was trained."""
    moment = format_timestamp(circumstances.at_ms)[:19]
    return f"{circumstances.job.request.machine_type} {moment}Z"


def params(trained: Trained, circumstances: Circumstances) -> dict[str, str]:
    """What the run was made with, the defaults too."""
    dataset, fit, config = trained.dataset, trained.fit, trained.config
    chosen = {
        **{f"fit_{name}": value for name, value in asdict(config).items()},
        "k": fit.k,
        "window_rows": fit.detector.window_rows,
        "max_gap_ms": fit.detector.max_gap_ms,
        "distance": fit.detector.distance,
        "slow_sensors": reasons(fit.slow_sensors) or "none",
        "machines": len(dataset.histories),
        "machines_with_a_baseline": names(fit.detector.machines) or "none",
        "rows": dataset.rows,
        "sensors": names(fit.detector.sensors),
        "sensors_left_out": names(tuple(fit.left_out_sensors)),
        "silhouette_metric": "euclidean",
        "silhouette_rows": fit.silhouette_rows,
        "left_out": left_out(dataset.left_out) or "nothing",
        "threads": circumstances.threads,
    }
    return {name: str(value)[:_LONGEST_PARAM] for name, value in chosen.items()}


def lineage(trained: Trained, circumstances: Circumstances) -> dict[str, str]:
    """Where a version comes from: tags of its run, and some of them its version's too."""
    dataset = trained.dataset
    request = circumstances.job.request
    identity = semantic_version.identity(
        trained.fit.detector.sensors, dataset.data_version, trained.config
    )
    known = {
        **identity,
        semantic_version.TAG: semantic_version.following(circumstances.before, identity),
        JOB_TAG: circumstances.job.job_id,
        "machine_type": dataset.machine_type,
        "model_type": "kmeans-distance",
        "use_case": "machine failure detection",
        "training_date": format_timestamp(circumstances.at_ms),
        "training_start": format_timestamp(dataset.start_ms),
        "training_end": format_timestamp(dataset.end_ms),
        "training_excluded": ", ".join(
            f"{format_timestamp(period.start_ms)} to {format_timestamp(period.end_ms)}"
            for period in request.excluded
        ),
        "left_out": left_out(dataset.left_out),
        "dataset_version": request.dataset_version or "",
        "trigger": request.trigger,
        "trigger_detail": request.trigger_detail,
        "git_commit": circumstances.git_commit or "",
        "faultline_version": __version__,
        "requested_by": request.requested_by,
    }
    return {name: value[:LONGEST_TAG] for name, value in known.items() if value}


def run_tags(lineage: Mapping[str, str], told: str) -> dict[str, str]:
    """What MLflow's page of the run shows of it: who asked for it, by which code, and in words."""
    shown = {
        "mlflow.user": lineage.get("requested_by"),
        "mlflow.source.name": f"faultline-trainer {__version__}",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": lineage.get("git_commit"),
        NOTE_TAG: told[:LONGEST_NOTE],
    }
    return {**lineage, **{name: value for name, value in shown.items() if value}}


def version_tags(
    trained: Trained, lineage: Mapping[str, str], bundle_sha256: str
) -> dict[str, str]:
    """What a version says of itself: what versions are compared by, and what is read by others.

    All else its run says; see also `services.trainer.figures.figure_tags`.
    """
    gate = trained.gate
    told = {
        GATE_TAG: gate.decision,
        **figure_tags(trained),
        **{name: value for name, value in lineage.items() if name in _OF_VERSIONS},
        GATE_REASON_TAG: gate.reason,
        SUM_TAG: bundle_sha256,
    }
    return {name: value[:LONGEST_TAG] for name, value in told.items()}
