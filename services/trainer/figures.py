"""The figures of a training: metrics of its run, and again tags of its version.

A metric does not appear on the version's page in MLflow, so what people compare is both.
"""

from __future__ import annotations

import math
from statistics import fmean

from faultline.detector.evaluation import InjectionReport, NotEvaluated
from faultline.ports.registry import Metric
from services.trainer.evaluation import Evaluation
from services.trainer.evidence import Trained
from services.trainer.usage import Usage
from services.trainer.wording import basis


def metrics(trained: Trained, usage: Usage) -> list[Metric]:
    """The numbers that it came to.

    Those of the candidates have k as their step, those of the clusters the cluster's index.
    """
    dataset, _, fit, gate, evaluation = trained
    found = [
        Metric("held_out_alarm_rate", fit.held_out_alarm_rate),
        Metric("boundary", fit.detector.boundary),
        Metric("unknown_score", fit.detector.unknown_score),
        Metric("window_rows", fit.detector.window_rows),
        Metric("windows_learnt_from", fit.used_rows),
        Metric("rows", dataset.rows),
        Metric("rows_left_out", dataset.left_out_rows),
        Metric("machines", len(dataset.histories)),
        Metric("machines_with_a_baseline", len(fit.detector.machines)),
        Metric("slow_sensors", len(fit.slow_sensors)),
        Metric("gate_passed", float(gate.passed)),
        Metric("training_s", usage.duration_s),
        Metric("training_cpu_s", usage.cpu_s),
    ]
    if usage.peak_memory_bytes is not None:
        found.append(Metric("training_peak_memory_mb", usage.peak_memory_bytes / 1e6))
    if trained.silhouette is not None:
        found.append(Metric("silhouette", trained.silhouette))
    stability = _stability(trained)
    if stability is not None:
        found.append(Metric("stability", stability))
    found += [Metric("cluster_share", one.share, one.cluster) for one in fit.profiles]
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
        "injected_delay_s": _delay_s(report),
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


def _delay_s(report: InjectionReport) -> float | None:
    """Mean over the kinds of fault, as the recall is."""
    known = [result.delay_s for result in report.by_kind if result.delay_s is not None]
    return fmean(known) if known else None


def _stability(trained: Trained) -> float | None:
    """Of the chosen clusters; None with one cluster, or where it was not asked for."""
    chosen = (one.stability for one in trained.fit.candidates if one.k == trained.fit.k)
    stability = next(chosen, math.nan)
    return stability if math.isfinite(stability) else None


def figure_tags(trained: Trained) -> dict[str, str]:
    """What a version says of how good it is, for comparing versions; the run's metrics have more.

    ``silhouette`` is exactly as computed, or ``undefined`` when there is one cluster, and so is
    ``stability``. ``injected_recall``, ``injected_delay_s`` and ``false_alarms_per_machine_day``
    are, or ``not evaluated``.
    """
    fit = trained.fit
    return {
        "silhouette": _exactly(trained.silhouette),
        "stability": _exactly(_stability(trained)),
        "k": str(fit.k),
        "cluster_shares": ", ".join(f"{profile.share:.4f}" for profile in fit.profiles),
        "rows": str(trained.dataset.rows),
        **_evaluated(trained.evaluation),
    }


def _evaluated(evaluation: Evaluation) -> dict[str, str]:
    if isinstance(evaluation, NotEvaluated):
        return {
            "injected_recall": "not evaluated",
            "injected_delay_s": "not evaluated",
            "false_alarms_per_machine_day": "not evaluated",
            "false_alarms_basis": evaluation.reason,
        }
    return {
        "injected_recall": _exactly(evaluation.recall),
        "injected_delay_s": _exactly(_delay_s(evaluation)),
        "false_alarms_per_machine_day": repr(evaluation.false_alarms_per_machine_day),
        "false_alarms_basis": basis(evaluation),
    }


def _exactly(figure: float | None) -> str:
    return "undefined" if figure is None else repr(figure)
