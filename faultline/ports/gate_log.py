"""The log of the gate: what it found of every version, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from faultline.gate_report import Decision, GateReport


class DecisionState(StrEnum):
    """How far a decision has come.

    `decided`: it is kept, and perhaps half of it is in the registry. `applied`: the registry has
    it. `told`: its event is published, too.
    """

    DECIDED = "decided"
    APPLIED = "applied"
    TOLD = "told"


class GateDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement of one version.

    Attributes
    ----------
    model_version
        None before it is registered, and for ever where its training was cut off then.
    job_id
        The training that made it.
    state
        `told` where whoever decides tells it otherwise, as a training does of what it registers.
    """

    decision_id: str
    model_name: str
    model_version: str | None
    job_id: str
    at_ms: int
    decision: Decision
    reason: str
    report: GateReport
    state: DecisionState = DecisionState.TOLD


class GateLog(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def record(self, decision: GateDecision) -> None:
        """Keep a decision; one with the same id is replaced."""

    def name_version(self, decision_id: str, version: str) -> None:
        """Say which version a decision was about; again changes nothing."""

    def advance(self, decision: GateDecision, state: DecisionState) -> None:
        """A decision has come so far; nothing changes when another has replaced it."""

    def unfinished(self, model_name: str | None = None) -> Sequence[GateDecision]:
        """The decisions that are not told yet, of all models when None; oldest first."""

    def list(
        self, model_name: str, version: str | None = None, limit: int = 100
    ) -> Sequence[GateDecision]:
        """The decisions on a model, or on one of its versions, newest first."""
