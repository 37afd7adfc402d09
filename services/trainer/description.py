"""What a version is and where its limits are, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from faultline.detector.evaluation import NotEvaluated
from faultline.gate_report import GateReport
from faultline.left_out import Cause, LeftOut
from faultline.offline.wording import count, duration
from faultline.ports.gate_log import GateDecision
from faultline.readings import format_timestamp
from services.trainer.evaluation import Evaluation
from services.trainer.evidence import Trained
from services.trainer.wording import basis, names, reasons

_LIMITS = (
    "Limits: it knows what this history holds and no more. A way of running that is not in it is "
    "unknown and scores above the boundary, until the machine has stayed there long enough or the "
    "type is trained anew; a fault that was in it all along, and neither labelled nor in an open "
    "alarm, counts as normal. The figures on injected faults compare versions of one type; they "
    "promise nothing of real ones."
)
_GATE_SECTION = re.compile(r"^\*\*Gate: .*\*\*\n(?:\n- .*)*", re.MULTILINE)
_MOST_TOLD = 3
_MOST_PERIODS = 5


def description(trained: Trained, semantic_version: str, apart: Mapping[str, float]) -> str:
    """What a person should know who sees the version, as Markdown: MLflow renders it.

    Parameters
    ----------
    apart
        See `services.trainer.windows.discrimination`.
    """
    dataset, _, fit, gate, evaluation = trained
    if trained.silhouette is None:
        clusters = "one cluster (its silhouette is undefined)"
    else:
        clusters = (
            f"{fit.k} clusters, silhouette {trained.silhouette:.3f} "
            f"(Euclidean, on {fit.silhouette_rows:,} windows)"
        )
    machines = names([history.machine_id for history in dataset.histories])
    left_out, slow = reasons(fit.left_out_sensors), reasons(fit.slow_sensors)
    trained_on = (
        f"Trained on {dataset.rows:,} readings of "
        f"{count(len(dataset.histories), 'machine')} of type {dataset.machine_type} ({machines}), "
        f"{format_timestamp(dataset.start_ms)} to {format_timestamp(dataset.end_ms)}."
        + _left_out(dataset.left_out, dataset.left_out_rows)
        + f" Semantic version {semantic_version}."
    )
    learnt = [
        f"{len(fit.detector.sensors)} sensors: {names(fit.detector.sensors)}."
        + (f" Left out: {left_out[:500]}." if left_out else ""),
        *(
            [f"Slow, so judged by how they jump and not by how they drift: {slow[:500]}."]
            if slow
            else []
        ),
        f"Found {clusters}: {fit.k_reason}." + _told_apart(apart),
        f"Window: {fit.detector.window_rows} rows ({fit.window_reason}).",
        f"Distance: {fit.distance_reason}.",
        f"With a baseline of their own: {names(fit.detector.machines)}."
        if fit.detector.machines
        else "No machine has a baseline of its own: the type's holds for all.",
        _settling(fit.detector.rule.settle_ms),
    ]
    expected = [
        _evaluated(evaluation),
        f"Boundary at the distance {fit.detector.boundary:.4g}; of all held-out windows "
        f"{fit.held_out_alarm_rate:.2%} lie above it, which is the rate of alarms to expect on "
        "readings as mixed as these. The gate looks at the ordinary ones, without the worst fifth "
        "of the blocks.",
        _LIMITS,
    ]
    # MLflow shows few tags and no stage above the fold: what decides comes first here.
    sections = [
        trained_on,
        _section(f"Gate: {gate.decision}", _gate_said(gate)),
        _section("What it has learnt", learnt),
        _section("What to expect of it", expected),
    ]
    return "\n\n".join(sections)


def with_decision(text: str, decided: GateDecision, history: GateReport | None) -> str:
    """A description with what the gate has decided since.

    Parameters
    ----------
    text
        Of the version; one without a section on the gate gets it at the end.
    history
        What the gate had found before; None when that is not known.
    """
    lines = [*_gate_said(decided.report), *([] if history is None else _gate_said(history))]
    section = _section(f"Gate: {decided.decision}", lines)
    found = _GATE_SECTION.search(text)
    if found is None:
        return f"{text}\n\n{section}".strip()
    return text[: found.start()] + section + text[found.end() :]


def _section(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([f"**{heading}**", "", *(f"- {line}" for line in lines)])


def _gate_said(gate: GateReport) -> list[str]:
    """What was refused, or else every check and note."""
    refused = [check.reason for check in gate.checks if not check.passed]
    told = refused or [*(check.reason for check in gate.checks), *gate.notes]
    return [f"{line[0].upper()}{line[1:]}." for line in told]


def _left_out(periods: Sequence[LeftOut], rows: int) -> str:
    if not periods:
        return ""
    causes = Counter(period.cause.value for period in periods)
    counted = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))
    told = "; ".join(
        f"{period.machine_id or 'all machines'} from {format_timestamp(period.start_ms)}"
        + (f" to {format_timestamp(period.end_ms)}" if period.end_ms is not None else " on")
        + (f" ({period.what})" if period.cause is Cause.FAULT_LABEL else "")
        for period in periods[:_MOST_PERIODS]
    )
    more = len(periods) - _MOST_PERIODS
    return (
        f" Left out ({counted}): {told}"
        + (f" and {more} more" if more > 0 else "")
        + f"; {rows:,} readings of them."
    )


def _settling(settle_ms: int) -> str:
    if not settle_ms:
        return "A lasting state beyond the boundary never becomes the new normal."
    return (
        "A lasting state beyond the boundary is the new normal (status `new_normal`) after "
        f"{duration(settle_ms / 1000)}: an alarm that is open then stays open but grows no more."
    )


def _told_apart(apart: Mapping[str, float]) -> str:
    most = [name for name, ratio in apart.items() if ratio > 1.0][:_MOST_TOLD]
    return f" What tells them apart most: {', '.join(most)}." if most else ""


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
        f"({basis(evaluation)}). Measured on a detector that was fitted without that end."
    )
