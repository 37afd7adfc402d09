"""What the gate found of a version, over HTTP: check by check."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from faultline.gate_report import Check, Decision
from faultline.ports.gate_log import GateDecision, GateLog
from faultline.ports.registry import ModelRegistry
from faultline.readings import format_timestamp
from faultline.web import problems
from services.trainer.absent import telling_which

_Name = Annotated[str, Path(description="A registered model.", examples=["faultline-pump"])]
_Version = Annotated[str, Path(description="Its number.", examples=["3"])]


class CheckAnswer(BaseModel):
    """One thing that was looked at."""

    name: str = Field(examples=["silhouette"])
    value: float | None = Field(description="Null when it is undefined.", examples=[0.62])
    limit: float = Field(description="What it was held against.", examples=[0.25])
    must_be: Literal["at least", "at most"]
    passed: bool
    reason: str = Field(description="The same in a sentence.")


class GateAnswer(BaseModel):
    """One judgement of a version."""

    at: str = Field(examples=["2026-11-21T08:00:06.000Z"])
    job_id: str = Field(description="The training that made the version.")
    decision: Decision
    reason: str
    champion: str | None = Field(description="The version it was compared with.", examples=["2"])
    shadow_readings: int = Field(
        description="Live readings that it still had to score beside that version, at least."
    )
    alarm_rule: str = Field(
        description="When alarms opened and closed that were counted; empty when none were."
    )
    notes: list[str] = Field(description="What could not be compared, and on what the rest was.")
    checks: list[CheckAnswer]


class GateAnswers(BaseModel):
    """The judgements of a version, newest first; none when the gate has not judged it."""

    model_name: str = Field(examples=["faultline-pump"])
    version: str = Field(examples=["3"])
    judgements: list[GateAnswer]


def gate_routes(registry: ModelRegistry, log: GateLog, prefix: str) -> APIRouter:
    """Routes for what the gate found."""
    router = APIRouter(prefix=prefix, tags=["models"])

    @router.get(
        "/{name}/versions/{version}/gate",
        responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    def show_gate(name: _Name, version: _Version) -> GateAnswers:
        """Show what the gate found of a version: each check with value, limit and verdict.

        A version that had to score live readings first has been judged a second time.
        """
        found = log.list(name, version)
        if not found:
            # Tells a version that nobody has judged from one that is not there.
            with telling_which(registry, name, version):
                registry.version(name, version)
        return GateAnswers(
            model_name=name, version=version, judgements=[_gate_answer(one) for one in found]
        )

    return router


def _gate_answer(decision: GateDecision) -> GateAnswer:
    report = decision.report
    return GateAnswer(
        at=format_timestamp(decision.at_ms),
        job_id=decision.job_id,
        decision=decision.decision,
        reason=decision.reason,
        champion=report.champion,
        shadow_readings=report.shadow_readings,
        alarm_rule=report.alarm_rule,
        notes=list(report.notes),
        checks=[_check_answer(one) for one in report.checks],
    )


def _check_answer(check: Check) -> CheckAnswer:
    return CheckAnswer(
        name=check.name,
        value=check.value,
        limit=check.limit,
        must_be=check.must_be,
        passed=check.passed,
        reason=check.reason,
    )
