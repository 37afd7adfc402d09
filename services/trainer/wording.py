"""How names and figures are worded, in tags and descriptions alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faultline.detector.evaluation import InjectionReport
from faultline.gate_report import Decision
from faultline.left_out import Cause, LeftOut

_MOST_NAMES = 12


def reasons(named: Mapping[str, str]) -> str:
    """Names, each with its reason."""
    return "; ".join(f"{name} ({why})" for name, why in named.items())


def names(all_names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(all_names[:_MOST_NAMES])
    more = len(all_names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def gate_said(decision: str | None) -> str:
    """What the gate has said of a version, as a part of a sentence.

    >>> gate_said("refused"), gate_said(None)
    ('the gate has refused it', 'no gate has judged it')
    """
    if decision is None:
        return "no gate has judged it"
    if decision == Decision.WAITING:
        return "the gate waits for live readings that it scores in the shadow"
    if decision == Decision.SUPERSEDED:
        return "the gate has not judged it to the end"
    return f"the gate has {decision} it"


def basis(report: InjectionReport) -> str:
    """What the rate of false alarms was counted on."""
    return (
        f"{'extrapolated from' if report.is_extrapolated else 'measured:'} "
        f"{report.false_alarms} in {report.machine_days:.3g} machine-days"
    )


def left_out(periods: Sequence[LeftOut]) -> str:
    """How many periods are left out for which cause, and their readings; empty without any."""
    told = []
    for cause in Cause:
        own = [period for period in periods if period.cause is cause]
        readings = sum(period.readings or 0 for period in own)
        if own:
            rows = f" ({readings:,} readings)" if readings else ""
            told.append(f"{cause.value}: {len(own)}{rows}")
    return ", ".join(told)
