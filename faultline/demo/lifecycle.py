"""What became of the pumps' versions: refused, compared, promoted, taken back. Structs only."""

from __future__ import annotations

import msgspec


class ReloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The promotion of the second version, while readings streamed.

    Attributes
    ----------
    readings_sent_meanwhile
        Live readings sent from when it was asked for to its first verdict.
    seconds_to_first_verdict
        From the trainer's answer to the promotion; 0 when the verdict came first, None when none
        did.
    readings_by_two_versions
        Readings of which two versions were heard to give a verdict.
    """

    model_name: str
    from_version: str
    to_version: str
    readings_sent_meanwhile: int
    seconds_to_first_verdict: float | None
    readings_by_two_versions: int


class RefusalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the worse candidate.

    Attributes
    ----------
    gate, reason
        What the gate said of it.
    production, judging
        The versions in Production and in the predictor after that.
    """

    version: str
    gate: str
    reason: str
    production: str
    judging: str


class ChangeReport(msgspec.Struct, frozen=True, kw_only=True):
    """A change of Production, as the trainer's history has it."""

    version: str
    previous_version: str
    at: str
    kind: str
    actor: str
    reason: str


class RollbackReport(msgspec.Struct, frozen=True, kw_only=True):
    """The rollback at the end.

    Attributes
    ----------
    from_version, to_version
        In Production before it and after it.
    judging
        The version in the predictor after it.
    refusal
        Why it was not done; empty when it was.
    history
        All changes of Production, newest first.
    """

    from_version: str
    to_version: str
    judging: str
    refusal: str
    history: tuple[ChangeReport, ...]
