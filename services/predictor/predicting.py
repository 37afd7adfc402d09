"""`POST /api/v1/predict`: bytes in, bytes out, by the shortest way there is.

Judging one reading takes a fraction of a millisecond, and what a framework does around it would
take as long: routing, dependencies, a thread. So a request is answered before all that
(`Shortcut`), and the framework's route is its description, and a second way to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from faultline import readings as codec
from faultline.errors import FaultlineError
from faultline.readings import Decoded
from faultline.web import problem, problem_of, problems, unexpected_problem
from services.predictor import prediction_answers
from services.predictor.bodies import TooLarge, read_body
from services.predictor.metrics import Metrics
from services.predictor.prediction_answers import encode_predictions
from services.predictor.prediction_record import Predict

PATH = "/api/v1/predict"

_SMALL_BYTES = 16_384
_MOST_AT_ONCE = 1
"""A body of so many bytes is read in the event loop, and so many readings of it are judged there:
they take less time than a change of thread."""

_MOST_NAMED = 100
"""So many refused readings are named in an answer."""

_READING = {
    "machine_id": "pump-07",
    "machine_type": "pump",
    "timestamp": "2026-11-21T08:00:00.000Z",
    "sensors": {"pressure": 4.1, "vibration": 0.02},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One reading, or an array of them, as on the topic `sensor.readings`.",
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object"},
                        {"type": "array", "items": {"type": "object"}, "minItems": 1},
                    ]
                },
                "examples": {
                    "one": {"summary": "One reading", "value": _READING},
                    "many": {"summary": "Several readings", "value": [_READING]},
                },
            }
        },
    }
}


class Predictions:
    """Answers requests to predict.

    Parameters
    ----------
    predict
        Judges readings outside the stream.
    absence
        Tells of a machine type why it has no model.
    request_bytes
        Largest body.
    """

    def __init__(
        self,
        predict: Predict,
        absence: Callable[[str], str],
        request_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._predict = predict
        self._absence = absence
        self._request_bytes = request_bytes
        self._seconds = metrics.prediction_seconds

    async def answer(self, receive: Receive) -> Response:
        """Read a request's body, and answer."""
        try:
            body = await read_body(receive, self._request_bytes)
        except TooLarge as error:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except ClientDisconnect:
            # Nobody hears it.
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        # From here on: how fast a client sends says nothing of ours.
        begun_s = perf_counter()
        try:
            response = await self._answer(body)
        except Exception:
            self._observe(HTTPStatus.INTERNAL_SERVER_ERROR, begun_s)
            raise
        self._observe(response.status_code, begun_s)
        return response

    def _observe(self, code: int, begun_s: float) -> None:
        self._seconds.labels(int(code)).observe(perf_counter() - begun_s)

    async def _answer(self, body: bytes) -> Response:
        try:
            if len(body) > _SMALL_BYTES:
                return await run_in_threadpool(lambda: self._answered(codec.decode(body)))
            decoded = codec.decode(body)
            if len(decoded.readings) <= _MOST_AT_ONCE:
                return self._answered(decoded)
            return await run_in_threadpool(self._answered, decoded)
        except FaultlineError as error:
            return problem_of(error)

    def _answered(self, decoded: Decoded) -> Response:
        if decoded.refusals:
            return _refused(decoded)
        content = encode_predictions(self._predict(decoded.readings), self._absence)
        return Response(content, media_type="application/json")


class _Route(NamedTuple):
    """What traces name a request by, as they find it behind the framework."""

    path: str


_ROUTE = _Route(PATH)


class Shortcut:
    """Before an ASGI application: answers requests to predict itself, and passes all others on."""

    def __init__(self, app: ASGIApp, predictions: Predictions) -> None:
        self._app = app
        self._predictions = predictions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if (
            scope["type"] == "http"
            and scope["path"] == PATH
            and scope["method"] == "POST"
            # The framework refuses parameters, of which there are none.
            and not scope["query_string"]
        ):
            scope["route"] = _ROUTE
            try:
                response = await self._predictions.answer(receive)
            except Exception:
                # As behind the framework: the caller is told, and the server logs it.
                await unexpected_problem()(scope, receive, send)
                raise
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def predict_route(predictions: Predictions) -> APIRouter:
    """The route, described."""
    router = APIRouter()

    @router.post(
        PATH.removeprefix("/api/v1"),
        tags=["verdicts"],
        response_class=Response,
        responses={
            200: {
                "model": prediction_answers.Predictions,
                "description": "One verdict per reading, in order.",
            },
            **problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        },
        openapi_extra=_BODY,
    )
    async def predict(request: Request) -> Response:
        """Judge readings now, with every sensor's contribution.

        A machine that the stream knows goes on from its live window, which stays as it is. Nothing
        is stored or published. A machine type without a model is answered `no_model`, and
        `why` names those that have one.
        """
        return await predictions.answer(request.receive)

    return router


def _refused(decoded: Decoded) -> Response:
    errors = [
        {"index": refusal.position, "reason": refusal.reason}
        for refusal in decoded.refusals[:_MOST_NAMED]
    ]
    detail = f"{len(decoded.refusals)} of the readings break the format; nothing was judged"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)
