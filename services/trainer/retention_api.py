"""What has outlived its retention, over HTTP: which rows, and dropping them now."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from faultline.ports.clock import Clock
from faultline.ports.retention import Kept, RetentionStore
from faultline.readings import format_timestamp
from faultline.retention import Outcome, Retention, enforce
from faultline.web import problems

PREFIX = "/api/v1/ml/maintenance"


class RetentionRequest(BaseModel):
    """Whether to drop, or only to tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = Field(True, description="Only tell what would be dropped.")


class ExpiredAnswer(BaseModel):
    """Rows that have outlived their retention."""

    kind: Kept
    name: str = Field(
        description="The month's table; of events the table with them.",
        examples=["readings_y2026m01"],
    )
    until: str = Field(
        description="All of them are from before.", examples=["2026-02-01T00:00:00.000Z"]
    )
    rows: int | None = Field(
        description="How many, of a month about; null when PostgreSQL has not counted yet."
    )
    size_bytes: int | None = Field(
        description="What dropping them frees on disk; null when that is not known."
    )
    dropped: bool = Field(description="By this request.")
    in_use: str | None = Field(
        description="Why they could not be dropped now: the recorder tries again. Null when they "
        "could, or nobody has tried."
    )


class RetentionAnswer(BaseModel):
    """What has outlived its retention, and what became of it."""

    dry_run: bool
    days: dict[Kept, int] = Field(
        description="How long each kind is kept, by the settings; 0 is for ever.",
        examples=[{"readings": 365, "verdicts": 90, "events": 0}],
    )
    expired: list[ExpiredAnswer]


def retention_routes(store: RetentionStore, retention: Retention, clock: Clock) -> APIRouter:
    """Routes for retention."""
    router = APIRouter(prefix=PREFIX, tags=["maintenance"])

    @router.post(
        "/retention",
        responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    def apply_retention(request: RetentionRequest) -> RetentionAnswer:
        """Tell which rows have outlived the retention of the settings, or drop them now.

        The recorder drops them by itself once an hour; asking again is harmless.
        """
        now_ms = clock.now_ms()
        outcomes: Sequence[Outcome]
        if request.dry_run:
            outcomes = [Outcome(one, False) for one in store.expired(retention.cutoffs(now_ms))]
        else:
            outcomes = enforce(store, retention, now_ms)
        return RetentionAnswer(
            dry_run=request.dry_run,
            days=dict(retention.days),
            expired=[_answer(outcome) for outcome in outcomes],
        )

    return router


def _answer(outcome: Outcome) -> ExpiredAnswer:
    expired = outcome.expired
    return ExpiredAnswer(
        kind=expired.kind,
        name=expired.name,
        until=format_timestamp(expired.until_ms),
        rows=expired.rows,
        size_bytes=expired.size_bytes,
        dropped=outcome.dropped,
        in_use=outcome.in_use,
    )
