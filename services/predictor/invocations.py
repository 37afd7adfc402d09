"""`POST /invocations`: what clients of `mlflow models serve` send and expect, judged as all else.

Rows become readings and go through the same fleet; errors are problem+json that also has the
`error_code` and `message` that MLflow's clients look for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from faultline.errors import InvalidReading
from faultline.judge import Model
from faultline.verdicts import Status, Verdict
from faultline.web import problem, problems
from services.predictor.bodies import TooLarge, read_body
from services.predictor.fleet import Fleet, Judged
from services.predictor.prediction_record import Predict
from services.predictor.rows import Rows
from services.predictor.slot import ModelSlot
from services.predictor.tables import Table, from_csv, from_json

_JSON, _CSV = "application/json", "text/csv"
_COLUMNS = ["machine_id", "timestamp", "pressure", "vibration"]
_ROW = ["pump-07", "2026-11-21T08:00:00.000Z", 4.1, 0.02]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Rows in one of MLflow's scoring formats. Columns are sensors, and if "
        "wanted `timestamp`, `machine_id` and `machine_type`; missing values are null (MLflow's "
        "own client sends NaN). Cells without names are the model's sensors in its order.",
        "content": {
            _JSON: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "dataframe_split": {"type": "object"},
                        "dataframe_records": {"type": "array", "items": {"type": "object"}},
                        "instances": {"type": "array"},
                        "inputs": {"type": ["object", "array"]},
                        "params": {
                            "type": "object",
                            "properties": {
                                "machine_id": {"type": "string"},
                                "machine_type": {"type": "string"},
                            },
                        },
                    },
                },
                "examples": {
                    "split": {
                        "summary": "A data frame",
                        "value": {
                            "dataframe_split": {"columns": _COLUMNS, "data": [_ROW]},
                            "params": {"machine_type": "pump"},
                        },
                    },
                    "records": {
                        "summary": "Records",
                        "value": {
                            "dataframe_records": [dict(zip(_COLUMNS, _ROW, strict=True))],
                            "params": {"machine_type": "pump"},
                        },
                    },
                },
            },
            _CSV: {
                "schema": {"type": "string"},
                "example": "timestamp,pressure,vibration\n2026-11-21T08:00:00Z,4.1,0.02\n",
            },
        },
    }
}


class InvocationPrediction(BaseModel):
    """What a version says of one row."""

    score: float | None = Field(description="1.0 is the boundary; null where nothing was scored.")
    status: Status
    cluster: int | None = Field(description="The nearest cluster.", examples=[2])
    known: bool = Field(description="False when the row is far from every cluster.")
    top_sensor: str | None = Field(description="The sensor with the largest part of the score.")
    top_share: float | None = Field(description="Its part of the deviation.")
    model_version: str | None = Field(description="The version that gave it.", examples=["3"])


class InvocationPredictions(BaseModel):
    """One prediction per row, in order."""

    predictions: list[InvocationPrediction]
    no_model: list[str] = Field(
        [],
        description="Why rows are answered `no_model`: one sentence per machine type, which names "
        "the types that have a model. Absent where every row was judged.",
    )


class _Prediction(msgspec.Struct):
    score: float | None
    status: Status
    cluster: int | None
    known: bool
    top_sensor: str | None
    top_share: float | None
    model_version: str | None


class _Predictions(msgspec.Struct, omit_defaults=True):
    predictions: list[_Prediction]
    no_model: list[str] = []


class _NotSupported(Exception):
    """A media type that is not among ours."""


_encoder = msgspec.json.Encoder()


def invocation_routes(
    predict: Predict,
    fleet: Fleet,
    slot: ModelSlot,
    request_bytes: int,
) -> APIRouter:
    """The routes of MLflow's scoring server.

    Parameters
    ----------
    predict
        Judges readings.
    request_bytes
        Largest body.
    """
    router = APIRouter(tags=["verdicts"])
    rows = Rows(fleet, slot)

    def answer(body: bytes, content_type: str, query: Mapping[str, str]) -> Response:
        try:
            readings = rows.readings(_table(body, content_type), query)
        except _NotSupported as error:
            return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
        except InvalidReading as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        return Response(encode_invocations(predict(readings), slot.absence), media_type=_JSON)

    @router.post(
        "/invocations",
        response_class=Response,
        responses={
            200: {"model": InvocationPredictions, "description": "One prediction per row."},
            **problems(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            ),
        },
        openapi_extra=_BODY,
    )
    async def invocations(
        request: Request,
        machine_type: Annotated[
            str | None,
            Query(description="Of rows that name none. The only loaded type if there is one."),
        ] = None,
        machine_id: Annotated[str | None, Query(description="Of rows that name none.")] = None,
    ) -> Response:
        """Judge rows as `mlflow models serve` would be asked to.

        The rows of one machine, in order, form its windows; a machine that the stream knows goes
        on from its live window, which stays as it is. Rows that name no machine are of one that
        is new, and without `timestamp` they follow one another at the training's usual step.
        """
        query = {"machine_type": machine_type, "machine_id": machine_id}
        try:
            body = await read_body(request.receive, request_bytes)
        except TooLarge as error:
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except ClientDisconnect:
            # Nobody hears it.
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return await run_in_threadpool(
            answer,
            body,
            request.headers.get("content-type", _JSON),
            {name: value for name, value in query.items() if value is not None},
        )

    @router.get("/ping", response_class=Response)
    async def ping() -> Response:
        """Say that predictions can be asked for, as MLflow's clients wait for."""
        return Response(b"\n", media_type=_JSON)

    return router


def _table(body: bytes, content_type: str) -> Table:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        if parameter and parameter.partition("=")[::2] not in {
            ("charset", "utf-8"),
            ("charset", '"utf-8"'),
        }:
            raise _NotSupported(f"{parameter!r} is not supported; send UTF-8")
    if media_type == _JSON:
        return from_json(body)
    if media_type == _CSV:
        return from_csv(body)
    raise _NotSupported(f"{media_type!r} is not supported; send {_JSON} or {_CSV}")


def encode_invocations(judged: Sequence[Judged], absence: Callable[[str], str]) -> bytes:
    """Encode an `InvocationPredictions` as UTF-8 JSON.

    Parameters
    ----------
    absence
        Tells of a machine type why it has no model.
    """
    without = {each.reading.machine_type for each in judged if each.model is None}
    return _encoder.encode(
        _Predictions(
            [_prediction(each.verdict, each.model) for each in judged],
            [absence(machine_type) for machine_type in sorted(without)],
        )
    )


def _prediction(verdict: Verdict, model: Model | None) -> _Prediction:
    top = verdict.contributions[0] if verdict.contributions else None
    return _Prediction(
        score=verdict.score,
        status=verdict.status,
        cluster=verdict.cluster,
        known=verdict.known,
        top_sensor=None if top is None else top.sensor,
        top_share=None if top is None else top.share,
        model_version=None if model is None else model.version,
    )


_ERROR_CODES = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "BAD_REQUEST",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "INVALID_PARAMETER_VALUE",
}


def _refused(status: HTTPStatus, detail: str) -> Response:
    return problem(status, detail, members={"error_code": _ERROR_CODES[status], "message": detail})
