"""The gate: the checks that a version passes before promotion. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

_SET_ASIDE = 0.2
"""A warm-up or an unnoticed fault in the history makes single blocks unlike the rest. The boundary
is not moved by them, so they alone don't decide here either."""


class BlockRate(NamedTuple):
    """A held-out block: its windows, and the part of them above the boundary."""

    windows: int
    alarm_rate: float


@dataclass(frozen=True)
class GateLimits:
    """What the gate asks for.

    Attributes
    ----------
    min_rows
        Windows learnt from, at least.
    min_silhouette
        Of the chosen clusters, at least.
    pass_single_cluster
        Whether one cluster, whose silhouette is undefined, passes.
    max_alarm_rate
        `ordinary_alarm_rate`, at most.
    """

    min_rows: int
    min_silhouette: float
    pass_single_cluster: bool
    max_alarm_rate: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes
    ----------
    value
        None when it is undefined.
    limit
        What it was held against.
    must_be
        On which side of the limit it has to be.
    passed
        The verdict.
    reason
        The same in a sentence.
    """

    name: str
    value: float | None
    limit: float
    must_be: Literal["at least", "at most"]
    passed: bool
    reason: str


class GateReport(msgspec.Struct, frozen=True):
    """All checks and what they come to."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check was passed."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The refusals, or all checks when there are none, in one sentence."""
        refused = [check.reason for check in self.checks if not check.passed]
        return "; ".join(refused or [check.reason for check in self.checks])


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
    *, rows: int, silhouette: float | None, blocks: Sequence[BlockRate], limits: GateLimits
) -> GateReport:
    """Hold a version against the limits.

    Parameters
    ----------
    rows
        Windows learnt from.
    silhouette
        None when there is one cluster only, for which it is undefined.
    blocks
        Every held-out block.
    """
    alarm_rate = ordinary_alarm_rate(blocks)
    return GateReport(
        (
            Check(
                name="rows",
                value=float(rows),
                limit=float(limits.min_rows),
                must_be="at least",
                passed=rows >= limits.min_rows,
                reason=f"{rows} windows to learn from, at least {limits.min_rows} asked for",
            ),
            _silhouette(silhouette, limits),
            Check(
                name="held_out_alarm_rate",
                value=alarm_rate,
                limit=limits.max_alarm_rate,
                must_be="at most",
                passed=alarm_rate <= limits.max_alarm_rate,
                reason=f"{alarm_rate:.2%} of the ordinary held-out windows above the boundary, "
                f"at most {limits.max_alarm_rate:.2%} asked for",
            ),
        )
    )


def _silhouette(silhouette: float | None, limits: GateLimits) -> Check:
    if silhouette is None:
        passes = (
            "which is let through" if limits.pass_single_cluster else "which is not let through"
        )
        passed, reason = limits.pass_single_cluster, f"silhouette undefined: one cluster, {passes}"
    else:
        passed = silhouette >= limits.min_silhouette
        reason = f"silhouette {silhouette:.3f}, at least {limits.min_silhouette:g} asked for"
    return Check(
        name="silhouette",
        value=silhouette,
        limit=limits.min_silhouette,
        must_be="at least",
        passed=passed,
        reason=reason,
    )
