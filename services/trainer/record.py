"""What a run and a version say of themselves: parameters, metrics, tags and a description.

Words for people and clients of the registry; nothing of Faultline decides by them but the gate's
tag, the job's id and the bundle's sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from faultline import __version__
from faultline.detector.config import FitConfig
from faultline.detector.evaluation import InjectionReport, NotEvaluated
from faultline.ports.jobs import TrainingJob
from faultline.ports.registry import Metric
from faultline.readings import format_timestamp
from services.trainer.evaluation import Evaluation
from services.trainer.evidence import Trained

JOB_TAG = "job_id"
GATE_TAG = "gate"
GATE_REASON_TAG = "gate_reason"
SUM_TAG = "bundle_sha256"
PASSED = "passed"
REFUSED = "refused"

# MLflow refuses longer ones.
_LONGEST_TAG = 4_000
_LONGEST_PARAM = 500
_MOST_NAMES = 12


class Circumstances(NamedTuple):
    """When, for which job, and by which code a training was done.

    Attributes
    ----------
    git_commit
        None when it is not known.
    """

    job: TrainingJob
    at_ms: int
    git_commit: str | None


def run_name(circumstances: Circumstances) -> str:
    """Name of the run: the machine type and when it was trained."""
    moment = format_timestamp(circumstances.at_ms)[:19]
    return f"{circumstances.job.request.machine_type} {moment}Z"


def params(trained: Trained, config: FitConfig) -> dict[str, str]:
    """What the run was made with, the defaults too."""
    dataset, fit = trained.dataset, trained.fit
    chosen = {
        **{f"fit_{name}": value for name, value in asdict(config).items()},
        "k": fit.k,
        "window_rows": fit.detector.window_rows,
        "max_gap_ms": fit.detector.max_gap_ms,
        "distance": fit.detector.distance,
        "slow_sensors": _reasons(fit.slow_sensors) or "none",
        "machines": len(dataset.histories),
        "machines_with_a_baseline": _names(fit.detector.machines) or "none",
        "rows": dataset.rows,
        "sensors": _names(fit.detector.sensors),
        "sensors_left_out": _names(tuple(fit.left_out_sensors)),
        "silhouette_metric": "euclidean",
        "silhouette_rows": fit.silhouette_rows,
    }
    return {name: str(value)[:_LONGEST_PARAM] for name, value in chosen.items()}


def metrics(trained: Trained) -> list[Metric]:
    """The numbers that it came to. Those of the candidates have k as their step."""
    dataset, fit, gate, evaluation = trained
    found = [
        Metric("held_out_alarm_rate", fit.held_out_alarm_rate),
        Metric("boundary", fit.detector.boundary),
        Metric("unknown_score", fit.detector.unknown_score),
        Metric("window_rows", fit.detector.window_rows),
        Metric("windows_learnt_from", fit.used_rows),
        Metric("rows", dataset.rows),
        Metric("faulty_rows_left_out", dataset.faulty_rows),
        Metric("machines", len(dataset.histories)),
        Metric("machines_with_a_baseline", len(fit.detector.machines)),
        Metric("slow_sensors", len(fit.slow_sensors)),
        Metric("gate_passed", float(gate.passed)),
    ]
    if trained.silhouette is not None:
        found.append(Metric("silhouette", trained.silhouette))
    found += [
        Metric(f"gate_{check.name}", check.value)
        for check in gate.checks
        if check.value is not None
    ]
    for candidate in fit.candidates:
        figures = {
            "silhouette": candidate.silhouette,
            "smallest_share": candidate.smallest_share,
            "inertia": candidate.inertia,
            "separation": candidate.separation,
            "stability": candidate.stability,
        }
        found += [
            Metric(f"candidate_{name}", value, candidate.k)
            for name, value in figures.items()
            # What was not asked for of a candidate that is refused anyway is not a number.
            if math.isfinite(value)
        ]
    if isinstance(evaluation, InjectionReport):
        found += _injected(evaluation)
    return found


def _injected(report: InjectionReport) -> list[Metric]:
    """What the injected faults came to; a figure that is undefined is left out."""
    figures: dict[str, float | None] = {
        "injected_recall": report.recall,
        "false_alarms_per_machine_day": report.false_alarms_per_machine_day,
        "false_alarms": report.false_alarms,
        "false_alarm_share": report.alarm_share,
        "evaluated_machine_days": report.machine_days,
        "evaluation_s": report.seconds,
        "evaluation_fit_s": report.fit_seconds,
    }
    for result in report.by_kind:
        figures[f"injected_recall_{result.kind}"] = result.recall
        figures[f"injected_delay_s_{result.kind}"] = result.delay_s
        figures[f"injected_attribution_{result.kind}"] = result.attribution
    return [Metric(name, value) for name, value in figures.items() if value is not None]


def lineage(trained: Trained, circumstances: Circumstances) -> dict[str, str]:
    """Where a version comes from: tags of its run, and a part of its version's tags."""
    dataset = trained.dataset
    request = circumstances.job.request
    known = {
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
        "data_version": dataset.data_version,
        "git_commit": circumstances.git_commit or "",
        "faultline_version": __version__,
        "requested_by": request.requested_by,
    }
    return {name: value[:_LONGEST_TAG] for name, value in known.items() if value}


def version_tags(
    trained: Trained, circumstances: Circumstances, bundle_sha256: str
) -> dict[str, str]:
    """What a version says of itself.

    ``silhouette`` is exactly as computed, or ``undefined`` when there is one cluster.
    ``injected_recall`` and ``false_alarms_per_machine_day`` are, or ``not evaluated``.
    """
    dataset, fit, gate, evaluation = trained
    return {
        **lineage(trained, circumstances),
        "silhouette": "undefined" if trained.silhouette is None else repr(trained.silhouette),
        "silhouette_rows": str(fit.silhouette_rows),
        "silhouette_metric": "euclidean",
        "k": str(fit.k),
        "distance": fit.detector.distance,
        "slow_sensors": _names(tuple(fit.slow_sensors))[:_LONGEST_TAG] or "none",
        "window_rows": str(fit.detector.window_rows),
        "boundary": repr(fit.detector.boundary),
        "held_out_alarm_rate": repr(fit.held_out_alarm_rate),
        "rows": str(dataset.rows),
        "machines": str(len(dataset.histories)),
        **_headline(evaluation),
        GATE_TAG: PASSED if gate.passed else REFUSED,
        GATE_REASON_TAG: gate.reason[:_LONGEST_TAG],
        SUM_TAG: bundle_sha256,
    }


def _headline(evaluation: Evaluation) -> dict[str, str]:
    if isinstance(evaluation, NotEvaluated):
        return {
            "injected_recall": "not evaluated",
            "false_alarms_per_machine_day": "not evaluated",
            "false_alarms_basis": evaluation.reason[:_LONGEST_TAG],
        }
    return {
        "injected_recall": "undefined" if evaluation.recall is None else repr(evaluation.recall),
        "false_alarms_per_machine_day": repr(evaluation.false_alarms_per_machine_day),
        "false_alarms_basis": _basis(evaluation),
    }


def _basis(report: InjectionReport) -> str:
    return (
        f"{'extrapolated from' if report.is_extrapolated else 'measured:'} "
        f"{report.false_alarms} in {report.machine_days:.3g} machine-days"
    )


def description(trained: Trained) -> str:
    """What a person should know who sees the version in a list."""
    dataset, fit, gate, evaluation = trained
    if trained.silhouette is None:
        clusters = "one cluster (its silhouette is undefined)"
    else:
        clusters = (
            f"{fit.k} clusters, silhouette {trained.silhouette:.3f} "
            f"(Euclidean, on {fit.silhouette_rows:,} windows)"
        )
    machines = _names([history.machine_id for history in dataset.histories])
    left_out, slow = _reasons(fit.left_out_sensors), _reasons(fit.slow_sensors)
    sentences = [
        f"Trained on {dataset.rows:,} readings of {len(dataset.histories)} machines of type "
        f"{dataset.machine_type} ({machines}), {format_timestamp(dataset.start_ms)} to "
        f"{format_timestamp(dataset.end_ms)}."
        + (
            f" Left out: {dataset.faulty_rows:,} readings labelled as faults."
            if dataset.faulty_rows
            else ""
        ),
        f"{len(fit.detector.sensors)} sensors: {_names(fit.detector.sensors)}."
        + (f" Left out: {left_out[:500]}." if left_out else "")
        + (
            f" Slow, so judged by how they jump and not by how they drift: {slow[:500]}."
            if slow
            else ""
        ),
        f"Window: {fit.detector.window_rows} rows ({fit.window_reason}).",
        f"Found {clusters}: {fit.k_reason}.",
        f"Distance: {fit.distance_reason}.",
        f"With a baseline of their own: {_names(fit.detector.machines)}."
        if fit.detector.machines
        else "No machine has a baseline of its own: the type's holds for all.",
        f"Boundary at the distance {fit.detector.boundary:.4g}; of all held-out windows "
        f"{fit.held_out_alarm_rate:.2%} lie above it, which is the rate of alarms to expect on "
        "readings as mixed as these. The gate looks at the ordinary ones, without the worst fifth "
        "of the blocks.",
        _evaluated(evaluation),
        f"Gate: {PASSED if gate.passed else REFUSED} ({gate.reason}).",
    ]
    return "\n\n".join(sentences)


def _evaluated(evaluation: Evaluation) -> str:
    if isinstance(evaluation, NotEvaluated):
        return f"Not measured by injected faults: {evaluation.reason}."
    kinds = ", ".join(
        f"{result.kind.replace('_', ' ')} {result.recall:.0%}"
        for result in evaluation.by_kind
        if result.recall is not None
    )
    if evaluation.recall is None:
        recall = "no part that could be told (none changed a value), "
    else:
        recall = f"{evaluation.recall:.0%} on average ({kinds}), "
    return (
        f"Of faults injected into the held-out end of the history it found {recall}at the price of "
        f"{evaluation.false_alarms_per_machine_day:.3g} false alarms per machine-day "
        f"({_basis(evaluation)}). Measured on a detector that was fitted without that end."
    )


def _reasons(named: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({why})" for name, why in named.items())


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
