"""The gateway's HTTP interface: a thin shell over the application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, NamedTuple

import msgspec
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from faultline import readings as codec
from faultline.readings import DEFAULT_MACHINE_TYPE, Decoded, Refusal
from faultline.readings.decoding import Hold
from faultline.web import Checks, equip, problem, problems
from services.ingest.gateway.answers import Answer, Answers, fingerprint, idempotency_key
from services.ingest.gateway.application import Gateway, RefusedReadings, Taken
from services.ingest.gateway.body import BodyFormat, body_format, count_values, read_body
from services.ingest.gateway.csv_body import CsvOptions, decode_csv
from services.ingest.gateway.description import (
    ABOUT,
    ATOMIC,
    IDEMPOTENCY_KEY,
    IGNORE,
    MACHINE_ID,
    MACHINE_TYPE,
    REQUEST_BODY,
    ReadingsTaken,
)
from services.ingest.gateway.holding import Held, Holding, NeverFits
from services.ingest.gateway.metrics import GatewayMetrics
from services.ingest.gateway.packing import packing, unpack
from services.ingest.gateway.rate import Rate, TooFast

# Enough to find the mistake; a request of thousands usually has the same one everywhere.
_MAX_ERRORS = 100
# What a value takes while it is decoded, with its share of the reading: measured. What is refused
# takes more, and is held as it is found.
_VALUE_BYTES = 64


class Bounds(NamedTuple):
    """What the gateway lets in.

    Attributes
    ----------
    request_bytes, unpacked_bytes
        Largest body as it is sent, and after its compression is undone.
    values
        Most values in a body.
    body_s
        Seconds until a body has come, at most.
    holding
        Of all requests together.
    rate
        Of each client.
    client_header
        Names the client; None: its address does.
    """

    request_bytes: int
    unpacked_bytes: int
    values: int
    body_s: float
    holding: Holding
    rate: Rate
    client_header: str | None = None

    def client(self, request: Request) -> str:
        """Who sends."""
        named = request.headers.get(self.client_header, "") if self.client_header else ""
        return named or (request.client.host if request.client else "")


def gateway_app(
    gateway: Gateway, checks: Checks, metrics: GatewayMetrics, bounds: Bounds, answers: Answers
) -> FastAPI:
    """Build the gateway's HTTP application.

    Parameters
    ----------
    checks
        What it needs, for ``/health/ready``.
    answers
        What was answered to requests with an ``Idempotency-Key``.
    """
    app = FastAPI(title="Faultline gateway", version="1", description=ABOUT)
    equip(app, checks, metrics.registry)
    metrics.held_bytes.set_function(lambda: bounds.holding.held_bytes)

    @app.exception_handler(RefusedReadings)
    def refused(_: Request, error: RefusedReadings) -> Response:
        errors = _errors(error.refusals)
        more = len(error.refusals) - len(errors)
        detail = f"{error}. The first {len(errors)} are listed." if more else f"{error}."
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)

    @app.exception_handler(TooFast)
    def too_fast(_: Request, error: TooFast) -> Response:
        metrics.limited.inc()
        answer = problem(HTTPStatus.TOO_MANY_REQUESTS, str(error))
        answer.headers["Retry-After"] = str(error.wait_s)
        return answer

    @app.exception_handler(NeverFits)
    def never_fits(_: Request, error: NeverFits) -> Response:
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))

    @app.post(
        "/api/v1/readings",
        tags=["readings"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=ReadingsTaken,
        responses={
            HTTPStatus.MULTI_STATUS: {
                "model": ReadingsTaken,
                "description": "Some were taken, the others are listed.",
            },
            **problems(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.REQUEST_TIMEOUT,
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.TOO_MANY_REQUESTS,
                HTTPStatus.SERVICE_UNAVAILABLE,
            ),
        },
        openapi_extra=REQUEST_BODY,
    )
    async def post_readings(
        request: Request,
        *,
        atomic: Annotated[bool, Query(description=ATOMIC)] = False,
        machine_id: Annotated[str | None, Query(description=MACHINE_ID)] = None,
        machine_type: Annotated[str | None, Query(description=MACHINE_TYPE)] = None,
        ignore: Annotated[list[str] | None, Query(description=IGNORE)] = None,
        key: Annotated[
            str | None, Header(alias="Idempotency-Key", description=IDEMPOTENCY_KEY)
        ] = None,
    ) -> Response:
        """Take readings; answer when the broker has them.

        202: all were taken. 207: the valid ones were, and `errors` says which were not and why;
        mend those and send them again. 422: none was, as none is valid, or the request is
        `atomic` and not all are. After 408, 429 and 503 send the same request again: a reading is
        stored once, however often it is sent.
        """
        form = body_format(request.headers.get("content-type", ""))
        packed = packing(request.headers.get("content-encoding", ""))
        client = bounds.client(request)
        bounds.rate.let_in(client)
        with Held(bounds.holding) as held:
            decode = _decoder(form, machine_id, machine_type, ignore, held.add)
            body = await read_body(request, bounds.request_bytes, bounds.body_s, held.add)

            def take() -> Taken:
                plain = unpack(body, packed, bounds.unpacked_bytes, held.add)
                held.add(_VALUE_BYTES * count_values(plain, form, bounds.values))
                return gateway.take(plain, decode, atomic=atomic)

            async def give() -> Answer:
                readings = 1
                try:
                    # Decoding takes time and the acknowledgement has to be waited for: not in the
                    # event loop.
                    taken = await run_in_threadpool(take)
                    readings = taken.accepted + len(taken.refusals)
                finally:
                    bounds.rate.charge(client, readings)
                return _answer(taken)

            if key is None:
                answer = await give()
            else:
                name = idempotency_key(key)
                asked = (form.value, packed.name, request.url.query)
                parts = (*(part.encode() for part in asked), body)
                of = await run_in_threadpool(fingerprint, parts)
                answer = await answers.once(client, name, of, give)
        return Response(answer.body, answer.status, media_type="application/json")

    return app


def _decoder(
    form: BodyFormat,
    machine_id: str | None,
    machine_type: str | None,
    ignore: list[str] | None,
    hold: Hold,
) -> Callable[[bytes], Decoded]:
    """What takes a body of the format apart; 400 when it has no use for an option."""
    if form is BodyFormat.CSV:
        options = CsvOptions(machine_id, machine_type or DEFAULT_MACHINE_TYPE, ignore or ())
        return partial(decode_csv, options=options, hold=hold)
    if machine_id is not None or machine_type is not None or ignore is not None:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            "machine_id, machine_type and ignore in the address are for text/csv; each JSON object "
            "says itself whose it is",
        )
    return partial(codec.decode if form is BodyFormat.JSON else codec.decode_lines, hold=hold)


def _answer(taken: Taken) -> Answer:
    status = HTTPStatus.MULTI_STATUS if taken.refusals else HTTPStatus.ACCEPTED
    told = {
        "accepted": taken.accepted,
        "machines": taken.machines,
        "refused": len(taken.refusals),
        "errors": _errors(taken.refusals),
    }
    return Answer(status, msgspec.json.encode(told))


def _errors(refusals: Sequence[Refusal]) -> list[dict[str, int | str]]:
    return [{"index": position, "reason": reason} for position, reason in refusals[:_MAX_ERRORS]]
