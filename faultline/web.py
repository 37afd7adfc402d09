"""What every HTTP service of ours has: problem+json errors, health, metrics.

Knows nothing of what a service does. Needs the extra that installs FastAPI.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from faultline.errors import (
    Conflict,
    FaultlineError,
    InvalidReading,
    KeyReused,
    NotFound,
    Overloaded,
    Unavailable,
    UntrainableHistory,
)

Check = Callable[[], str | None]
Checks = Mapping[str, Check]

_CHECK_S = 3.0


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field("about:blank", description="A URI that names the kind of problem.")
    title: str = Field(description="The kind of problem, in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened, to what, and what to do about it.")
    errors: list[dict[str, Any]] | None = Field(
        None, description="Where there are several: one entry for each."
    )


class Health(BaseModel):
    """Whether a service can do its work now."""

    status: str = Field(description="`ok` or `unavailable`.", examples=["ok"])
    checks: dict[str, str] = Field(
        default_factory=dict, description="Each dependency: `ok`, or what is wrong with it."
    )


class ProblemResponse(JSONResponse):
    """A response with the media type of problems."""

    media_type = "application/problem+json"


_STATUS: tuple[tuple[type[FaultlineError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (InvalidReading, HTTPStatus.UNPROCESSABLE_ENTITY),
    (KeyReused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UntrainableHistory, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Overloaded, HTTPStatus.TOO_MANY_REQUESTS),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (FaultlineError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


def problem(
    status: HTTPStatus,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    members: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Build a problem+json response; `members` are further ones, which RFC 9457 allows."""
    body = Problem(
        type="about:blank", title=status.phrase, status=status, detail=detail, errors=errors
    )
    headers = {"Retry-After": "1"} if status in _WAIT else None
    content = {**body.model_dump(exclude_none=True), **(members or {})}
    return ProblemResponse(content, status_code=status, headers=headers)


def problem_of(error: FaultlineError) -> ProblemResponse:
    """Build the problem+json response that tells of one of our errors."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return problem(status, str(error))


def unexpected_problem() -> ProblemResponse:
    """Build the problem+json response to an exception that nobody has foreseen."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; see the service's log")


_WAIT = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route: which problems it may answer with."""
    return {
        int(status): {
            "description": status.phrase,
            "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }


def _query_names(dependant: Dependant) -> set[str]:
    """Names of the query parameters that a route and its dependencies read."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_query_names, dependant.dependencies))


def _no_such_parameter(name: str, known: set[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"there is no such parameter; did you mean {near[0]!r}?"
    if known:
        return f"there is no such parameter; there are {', '.join(sorted(known))}"
    return "there is no such parameter; this address has none"


async def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse a request whose address has a parameter that its route would pass over."""
    if not request.query_params:
        return
    route: APIRoute = request.scope["route"]
    known = _query_names(route.dependant)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {
                    "type": "extra_forbidden",
                    "loc": ("query", name),
                    "msg": _no_such_parameter(name, known),
                }
                for name in unknown
            ]
        )


class _Probe:
    """A check that runs at most once at a time, however many ask and however long it hangs."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._asked: Future[str | None] | None = None

    def ask(self) -> Future[str | None]:
        """What the check says: the answer under way, or a new one."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                # So that a caller who goes away cannot cancel it for the others.
                self._asked.set_running_or_notify_cancel()
                # A thread of its own: what hangs must take none from the requests, nor keep the
                # process from ending.
                threading.Thread(
                    target=self._answer, args=(self._asked,), name="readiness", daemon=True
                ).start()
            return self._asked

    def _answer(self, asked: Future[str | None]) -> None:
        try:
            wrong = self._check()
        except Exception as error:  # Raised where it is read.
            asked.set_exception(error)
        else:
            asked.set_result(wrong)


async def _answers(probes: Mapping[str, _Probe], check_s: float) -> dict[str, str | None]:
    asked = {name: asyncio.wrap_future(probe.ask()) for name, probe in probes.items()}
    if asked:
        await asyncio.wait(asked.values(), timeout=check_s)
    return {
        name: answer.result() if answer.done() else f"does not answer within {check_s:g} s"
        for name, answer in asked.items()
    }


def equip(
    app: FastAPI, ready: Checks, metrics: CollectorRegistry, *, check_s: float = _CHECK_S
) -> None:
    """Add error handlers, ``/health/live``, ``/health/ready`` and ``/metrics`` to an application.

    Routes that are added later refuse query parameters that they do not know, with 422.

    None of the three needs a thread of those that answer requests: a dependency that hangs takes
    those away, and must not make a service look dead.

    Parameters
    ----------
    ready
        Name of each dependency -> a check that returns None when it is well, else what is wrong.
    metrics
        What ``/metrics`` shows.
    check_s
        A check that takes longer counts as a dependency that is down.
    """
    probes = {name: _Probe(check) for name, check in ready.items()}

    @app.exception_handler(FaultlineError)
    def ours(_: Request, error: FaultlineError) -> ProblemResponse:
        return problem_of(error)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> ProblemResponse:
        answer = problem(HTTPStatus(error.status_code), str(error.detail))
        # A 405 says in one what would be allowed.
        answer.headers.update(error.headers or {})
        return answer

    # The server logs the error itself, with its traceback: it is raised again behind this.
    @app.exception_handler(Exception)
    def unexpected(_: Request, __: Exception) -> ProblemResponse:
        return unexpected_problem()

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> ProblemResponse:
        errors = [
            {
                "field": ".".join(str(part) for part in item["loc"]),
                # How pydantic introduces what one of our own checks says.
                "reason": item["msg"].removeprefix("Value error, "),
            }
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['field']}: {item['reason']}" for item in errors)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)

    @app.get("/health/live", tags=["health"], response_model=Health)
    async def live() -> Health:
        """Say that the process runs. Restart it when this fails."""
        return Health(status="ok")

    @app.get(
        "/health/ready",
        tags=["health"],
        response_model=Health,
        responses={503: {"model": Health, "description": "A dependency is down."}},
    )
    async def is_ready(response: Response) -> Health:
        """Say whether every dependency answers. Send no work when this fails."""
        checks = await _answers(probes, check_s)
        well = all(wrong is None for wrong in checks.values())
        if not well:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(
            status="ok" if well else "unavailable",
            checks={name: wrong or "ok" for name, wrong in checks.items()},
        )

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def show_metrics() -> Response:
        """Show the metrics in Prometheus' text format."""
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    # Behind those above: whoever looks after a service may ask them with parameters of their own.
    app.router.dependencies.append(Depends(_refuse_unknown_parameters))
