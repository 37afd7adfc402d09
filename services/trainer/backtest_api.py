"""Backtests over HTTP: answered at once, one at a time."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from faultline.alarms import AlarmPolicy
from faultline.errors import Conflict, InvalidBundle, Overloaded
from faultline.ports.promotions import PromotionLog
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
from faultline.web import problems
from services.trainer.absent import telling_which
from services.trainer.backtest import Span, backtest
from services.trainer.backtest_answers import BacktestAnswer, backtest_answer
from services.trainer.champion import fetch
from services.trainer.live_time import live_time
from services.trainer.requests import Name, Time

_Name = Annotated[str, Path(description="A registered model.", examples=["faultline-pump"])]
_Version = Annotated[str, Path(description="Its number.", examples=["3"])]

_LOOKED_THROUGH = 1_000


class BacktestRequest(BaseModel):
    """Which history to replay."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"machines": ["pump-07"], "start": "2026-11-14T00:00:00Z"}]
        },
    )

    machines: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="All of the version's machine type when left out.",
        examples=[["pump-07"]],
    )
    start: Time | None = Field(None, description="Begin of the history; open when left out.")
    end: Time | None = Field(
        None, description="End of the history, itself left out; open when left out."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("end must be later than start")
        return self


def backtest_routes(
    registry: ModelRegistry,
    store: FleetStore,
    log: PromotionLog,
    policy: AlarmPolicy,
    max_rows: int,
) -> APIRouter:
    """Routes for backtests.

    Parameters
    ----------
    policy
        By which the predictor raises alarms.
    max_rows
        Readings that one may replay: it bounds the memory and how long an answer takes.
    """
    router = APIRouter(prefix="/api/v1/ml/models", tags=["models"])
    busy = threading.Lock()

    @router.post(
        "/{name}/versions/{version}/backtest",
        responses=problems(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    )
    def run_backtest(name: _Name, version: _Version, request: BacktestRequest) -> BacktestAnswer:
        """Replay a version over stored history: the alarms it raises beside those that were.

        It judges as the stream does, and changes nothing. Of a long history ask for a part at a
        time.
        """
        if not busy.acquire(blocking=False):
            raise Overloaded("another backtest is running here; ask again when it has ended")
        try:
            with telling_which(registry, name, version):
                contender = fetch(registry, registry.version(name, version))
            machines = None if request.machines is None else tuple(dict.fromkeys(request.machines))
            span = Span(machines, request.start, request.end, max_rows)
            live = live_time(log.list(name, _LOOKED_THROUGH))
            return backtest_answer(backtest(store, contender, span, policy, live))
        except InvalidBundle as error:
            raise Conflict(f"version {version} of {name} cannot be replayed: {error}") from error
        finally:
            busy.release()

    return router
