"""What the gate found of a version, check by check. Values only: it judges nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Decision(StrEnum):
    """What the gate says of a version.

    `waiting`: it has passed what can be told from the history, and has to score live readings in
    the shadow before it may come into Production. `superseded`: before it had, another version took
    its place there.
    """

    PASSED = "passed"
    REFUSED = "refused"
    WAITING = "waiting"
    SUPERSEDED = "superseded"


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
    """All checks and what they come to.

    Attributes
    ----------
    champion
        The version it was compared with; None when there was none, or none that could be had.
    notes
        What could not be compared, and on what the rest was, in sentences. They refuse nothing.
    shadow_readings
        Live readings that it still has to score beside the champion, at least.
    alarm_rule
        When alarms opened and closed that were counted, in words; empty when none were.
    """

    checks: tuple[Check, ...]
    champion: str | None = None
    notes: tuple[str, ...] = ()
    shadow_readings: int = 0
    alarm_rule: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check was passed."""
        return all(check.passed for check in self.checks)

    @property
    def decision(self) -> Decision:
        """What the checks come to."""
        if not self.passed:
            return Decision.REFUSED
        return Decision.WAITING if self.shadow_readings else Decision.PASSED

    @property
    def reason(self) -> str:
        """The refusals, or all checks when there are none, with the notes, in one sentence."""
        refused = [check.reason for check in self.checks if not check.passed]
        if refused:
            return "; ".join(refused)
        told = [*(check.reason for check in self.checks), *self.notes]
        if self.shadow_readings:
            told.append(
                f"before it may come into Production it has to score {self.shadow_readings:,} live "
                f"readings beside version {self.champion}"
            )
        return "; ".join(told)
