"""The gateway's HTTP interface: a thin shell over the application."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from faultline.web import Checks, equip, problem, problems
from services.ingest.gateway.application import Accepted, Gateway, RefusedReadings
from services.ingest.gateway.body import (
    BodyFormat,
    body_format,
    inflate,
    is_gzip,
    read_body,
    refuse_unnamed_gzip,
)
from services.ingest.gateway.description import ABOUT, REQUEST_BODY
from services.ingest.gateway.metrics import GatewayMetrics

# Enough to find the mistake; a request of thousands usually has the same one everywhere.
_MAX_ERRORS = 100


class ReadingsAccepted(BaseModel):
    """What the broker has acknowledged."""

    accepted: int = Field(description="Readings taken: all of the request.", examples=[2])
    machines: int = Field(description="Machines that they are of.", examples=[1])


def gateway_app(
    gateway: Gateway,
    checks: Checks,
    metrics: GatewayMetrics,
    *,
    request_bytes: int,
    inflated_bytes: int,
) -> FastAPI:
    """Build the gateway's HTTP application.

    Parameters
    ----------
    checks
        What it needs, for ``/health/ready``.
    request_bytes, inflated_bytes
        Largest body as it is sent, and after gzip is undone.
    """
    app = FastAPI(title="Faultline gateway", version="1", description=ABOUT)
    equip(app, checks, metrics.registry)

    @app.exception_handler(RefusedReadings)
    def refused(_: Request, error: RefusedReadings) -> Response:
        errors = [
            {"index": position, "reason": reason}
            for position, reason in error.refusals[:_MAX_ERRORS]
        ]
        more = len(error.refusals) - len(errors)
        detail = f"{error}. The first {len(errors)} are listed." if more else f"{error}."
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)

    def take(body: bytes, form: BodyFormat, gzipped: bool) -> Accepted:
        plain = inflate(body, inflated_bytes) if gzipped else body
        return gateway.take_json(plain) if form is BodyFormat.JSON else gateway.take_lines(plain)

    @app.post(
        "/api/v1/readings",
        tags=["readings"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=ReadingsAccepted,
        responses=problems(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
        openapi_extra=REQUEST_BODY,
    )
    async def post_readings(request: Request) -> Response:
        """Take readings; answer when the broker has all of them.

        All or nothing: if one reading breaks the format, 422 lists which and why, and none is
        taken. Mend them and send the whole request again. After 429 and 503 send the same request
        again, too: a reading is stored once, however often it is sent.
        """
        form = body_format(request.headers.get("content-type", ""))
        gzipped = is_gzip(request.headers.get("content-encoding", ""))
        body = await read_body(request, request_bytes)
        if not gzipped:
            refuse_unnamed_gzip(body)
        # Decoding takes time and the acknowledgement has to be waited for: not in the event loop.
        accepted = await run_in_threadpool(take, body, form, gzipped)
        return JSONResponse(accepted._asdict(), status_code=HTTPStatus.ACCEPTED)

    return app
