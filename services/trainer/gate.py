"""The gate: the checks that a version passes before promotion. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.gate_report import Check, Decision, GateReport
from services.trainer.gate_facts import Beside, BlockRate, GateLimits, KnownFaults, Pair

__all__ = [
    "Beside",
    "BlockRate",
    "Check",
    "Decision",
    "GateLimits",
    "GateReport",
    "KnownFaults",
    "Pair",
    "judge",
    "judge_shadow",
    "ordinary_alarm_rate",
]

_SET_ASIDE = 0.2
"""A warm-up or an unnoticed fault in the history makes single blocks unlike the rest. The boundary
is not moved by them, so they alone don't decide here either."""

_COMPARED = 2.0
"""Figures that are compared with the champion's: false alarms, and recall of injected faults."""


def ordinary_alarm_rate(blocks: Sequence[BlockRate]) -> float:
    """The part of the held-out windows above the boundary, without the worst fifth of the blocks.

    Parameters
    ----------
    blocks
        At least one.

    Examples
    --------
    >>> ordinary_alarm_rate([BlockRate(100, rate) for rate in (0.0, 0.9, 0.01, 0.03, 0.0)])
    0.01
    """
    kept = sorted(blocks, key=lambda block: block.alarm_rate)
    kept = kept[: len(kept) - int(_SET_ASIDE * len(kept))]
    alarms = sum(block.windows * block.alarm_rate for block in kept)
    return alarms / sum(block.windows for block in kept)


def judge(
    *,
    rows: int,
    silhouette: float | None,
    blocks: Sequence[BlockRate],
    limits: GateLimits,
    stability: float | None = None,
    smallest_share: float = 1.0,
    known_faults: KnownFaults | None = None,
    beside: Beside | None = None,
    notes: Sequence[str] = (),
) -> GateReport:
    """Hold a version against the limits and, where there is one, against the champion.

    Parameters
    ----------
    rows
        Windows learnt from, of the machine with the most.
    silhouette, stability
        None when there is one cluster only, for which they are undefined.
    blocks
        Every held-out block.
    smallest_share
        Part of the windows in the smallest cluster.
    known_faults
        None when there are none.
    beside
        None without a champion to compare with.
    notes
        Why there is none, if that has to be said.
    """
    checks = [
        _at_least(
            "rows",
            float(rows),
            limits.min_rows,
            f"{rows:,} windows of one machine to learn from, at least {limits.min_rows:,} asked "
            "for",
        ),
        _silhouette(silhouette, limits),
        _stability(stability, limits.min_stability),
        _at_least(
            "smallest_cluster",
            smallest_share,
            limits.min_cluster_share,
            f"{smallest_share:.1%} of the windows in the smallest cluster, at least "
            f"{limits.min_cluster_share:.1%} asked for",
        ),
        _alarm_rate(ordinary_alarm_rate(blocks), limits.max_alarm_rate),
    ]
    if known_faults is not None:
        checks.append(_known_faults(known_faults, limits.max_less_recall))
    if beside is None:
        return GateReport(tuple(checks), notes=tuple(notes))
    checks += _beside(beside, limits)
    return GateReport(
        tuple(checks),
        champion=beside.version,
        notes=(*notes, *beside.notes),
        shadow_readings=limits.min_shadow_readings,
    )


def judge_shadow(
    *, champion: str, readings: int, failures: Pair, limits: GateLimits
) -> GateReport | None:
    """Hold what a version did in the shadow against the limits; None while it has done too little.

    Parameters
    ----------
    readings
        Live ones, that both have scored.
    failures
        The part of them that each calls a failure.
    """
    if readings < limits.min_shadow_readings:
        return None
    return GateReport(
        (
            _at_least(
                "shadow_readings",
                float(readings),
                limits.min_shadow_readings,
                f"{readings:,} live readings scored beside version {champion}, at least "
                f"{limits.min_shadow_readings:,} asked for",
            ),
            _no_more_alarms(
                "shadow_failures",
                failures,
                champion,
                "of those live readings called a failure",
                limits.max_more_alarms,
            ),
        ),
        champion=champion,
    )


def _beside(beside: Beside, limits: GateLimits) -> list[Check]:
    version = beside.version
    unwatched = ", ".join(beside.unwatched)
    checks = [
        _at_most(
            "unwatched_sensors",
            float(len(beside.unwatched)),
            0.0,
            f"left out by the request, while version {version} looks at them: {unwatched} (train "
            "again without choosing sensors)"
            if unwatched
            else f"no sensor of version {version} left out by the request",
        )
    ]
    if beside.silenced is not None:
        advice = " (label the faults and train again, or force it where the machines run so now)"
        checks.append(
            _at_most(
                "silenced_alarms",
                beside.silenced,
                limits.max_silenced,
                f"{beside.silenced:.2%} of the rows that it learnt from are in alarm by version "
                f"{version} and not by it, at most {limits.max_silenced:.2%} let through"
                + advice
                * (beside.silenced > limits.max_silenced),
            )
        )
    if beside.missing is not None:
        checks.append(
            _at_least(
                "compared",
                float(sum(pair is not None for pair in (beside.alarm_share, beside.recall))),
                _COMPARED,
                f"not compared with version {version}: {beside.missing}; train on a longer time "
                'range, or promote it all the same: --force --reason "..." (over HTTP `force` and '
                "`reason`)",
            )
        )
    if beside.alarm_share is not None:
        checks.append(
            _no_more_alarms(
                "false_alarms",
                beside.alarm_share,
                version,
                f"of the healthy rows from {beside.times} in alarm",
                limits.max_more_alarms,
            )
        )
    if beside.recall is not None:
        own, theirs = beside.recall
        checks.append(
            _at_least(
                "injected_recall",
                own,
                theirs - limits.max_less_recall,
                f"{own:.1%} of the injected faults found, version {version} finds {theirs:.1%} of "
                f"the same; at most {limits.max_less_recall:.1%} less let through",
            )
        )
    return checks


def _no_more_alarms(name: str, shares: Pair, champion: str, what: str, tolerance: float) -> Check:
    own, theirs = shares
    return _at_most(
        name,
        own,
        theirs + tolerance,
        f"{own:.2%} {what}, by version {champion} {theirs:.2%}; at most {tolerance:.2%} more let "
        "through",
    )


def _known_faults(found: KnownFaults, tolerance: float) -> Check:
    faults, own, theirs = found
    told = f"{own} of {faults} known faults found"
    if theirs is None:
        return _at_least("known_faults", own / faults, 0.0, told)
    return _at_least(
        "known_faults",
        own / faults,
        max(0.0, theirs / faults - tolerance),
        f"{told}, the champion finds {theirs}; at most {tolerance:.1%} less let through",
    )


def _stability(stability: float | None, limit: float) -> Check:
    if stability is None:
        return _at_least("stability", None, limit, "stability undefined: one cluster")
    return _at_least(
        "stability",
        stability,
        limit,
        f"clusters agree to {stability:.2f} under resampling (adjusted Rand index), at least "
        f"{limit:g} asked for",
    )


def _alarm_rate(rate: float, limit: float) -> Check:
    return _at_most(
        "held_out_alarm_rate",
        rate,
        limit,
        f"{rate:.2%} of the ordinary held-out windows above the boundary, at most {limit:.2%} "
        "asked for",
    )


def _silhouette(silhouette: float | None, limits: GateLimits) -> Check:
    if silhouette is not None:
        return _at_least(
            "silhouette",
            silhouette,
            limits.min_silhouette,
            f"silhouette {silhouette:.3f}, at least {limits.min_silhouette:g} asked for",
        )
    passes = "which is let through" if limits.pass_single_cluster else "which is not let through"
    return Check(
        name="silhouette",
        value=None,
        limit=limits.min_silhouette,
        must_be="at least",
        passed=limits.pass_single_cluster,
        reason=f"silhouette undefined: one cluster, {passes}",
    )


def _at_least(name: str, value: float | None, limit: float, reason: str) -> Check:
    return Check(
        name=name,
        value=value,
        limit=float(limit),
        must_be="at least",
        passed=value is None or value >= limit,
        reason=reason,
    )


def _at_most(name: str, value: float, limit: float, reason: str) -> Check:
    return Check(
        name=name,
        value=value,
        limit=float(limit),
        must_be="at most",
        passed=value <= limit,
        reason=reason,
    )
