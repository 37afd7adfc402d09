"""The short way of a request to predict, and the described one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient
from starlette.types import Message

from faultline.errors import Unavailable
from faultline.readings import Reading, encode, encode_batch, make_reading
from faultline.verdicts import Status, Verdict
from faultline.web import equip
from services.predictor.fleet import Judged
from services.predictor.metrics import Metrics
from services.predictor.predicting import Predictions, Shortcut, predict_route
from services.predictor.slot import ModelSlot

READING = make_reading("a", 0, {"flow": 1.0})


class Judge:
    """Says `no_model` of everything, and remembers in which threads it was asked."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.threads: list[str] = []

    def __call__(self, readings: Sequence[Reading]) -> list[Judged]:
        self.threads.append(threading.current_thread().name)
        if self.trouble is not None:
            raise self.trouble
        return [
            Judged(each, Verdict(timestamp_ms=each.timestamp_ms, status=Status.NO_MODEL), None)
            for each in readings
        ]


def client(judge: Judge, *, shortcut: bool) -> TestClient:
    app = FastAPI()
    equip(app, {}, CollectorRegistry())
    predictions = Predictions(judge, ModelSlot().absence, 500, Metrics())
    app.include_router(predict_route(predictions), prefix="/api/v1")
    served = Shortcut(app, predictions) if shortcut else app
    return TestClient(served, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        (encode(READING), None),
        (encode_batch([READING] * 2), None),
        (b"{", None),
        (b'{"machine_id": "a", "timestamp": 0, "sensors": {}}', None),
        (b"x" * 501, None),
        (encode(READING), Unavailable("the fleet is away")),
        (encode(READING), RuntimeError("a bug")),
    ],
)
def test_both_ways_answer_the_same(body: bytes, trouble: Exception | None) -> None:
    short, described = (
        client(Judge(trouble), shortcut=way).post("/api/v1/predict", content=body)
        for way in (True, False)
    )
    assert (short.status_code, short.content) == (described.status_code, described.content)
    assert short.headers == described.headers


def test_the_short_way_is_taken() -> None:
    judge = Judge()
    app = Shortcut(FastAPI(), Predictions(judge, ModelSlot().absence, 500, Metrics()))
    assert TestClient(app).post("/api/v1/predict", content=encode(READING)).status_code == 200
    assert len(judge.threads) == 1


def test_all_else_goes_the_other_way() -> None:
    http = client(Judge(), shortcut=True)
    assert http.get("/health/live").status_code == 200
    assert http.get("/api/v1/predict").status_code == 405


def test_several_readings_are_judged_beside_the_event_loop_and_one_in_it() -> None:
    judge = Judge()
    http = client(judge, shortcut=True)
    with http:
        http.post("/api/v1/predict", content=encode(READING))
        http.post("/api/v1/predict", content=encode_batch([READING] * 2))
    one, several = judge.threads
    assert "worker" not in one
    assert "worker" in several


def test_of_many_refused_readings_the_first_hundred_are_named() -> None:
    app = Shortcut(FastAPI(), Predictions(Judge(), ModelSlot().absence, 100_000, Metrics()))
    body = b"[" + b",".join([b"{}"] * 2_000) + b"]"
    answer = TestClient(app).post("/api/v1/predict", content=body)
    assert answer.status_code == 422
    assert "2000 of the readings" in answer.json()["detail"]
    assert len(answer.json()["errors"]) == 100


def test_a_body_may_come_in_parts() -> None:
    body = encode(READING)
    parts: list[Message] = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    answer = asyncio.run(Predictions(Judge(), ModelSlot().absence, 500, Metrics()).answer(receive))
    assert answer.status_code == 200


def test_nothing_is_judged_for_a_caller_who_has_gone() -> None:
    judge = Judge()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    answer: Any = asyncio.run(
        Predictions(judge, ModelSlot().absence, 500, Metrics()).answer(receive)
    )
    assert answer.status_code == 400
    assert judge.threads == []


@pytest.mark.parametrize("shortcut", [True, False])
def test_a_query_parameter_is_refused_as_there_is_none(shortcut: bool) -> None:
    judge = Judge()
    answer = client(judge, shortcut=shortcut).post(
        "/api/v1/predict?machine_type=fan", content=encode(READING)
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.machine_type"
    assert judge.threads == []


def test_how_long_answers_take_is_counted_by_their_status() -> None:
    metrics = Metrics()
    app = Shortcut(FastAPI(), Predictions(Judge(), ModelSlot().absence, 500, metrics))
    http = TestClient(app)
    for body in (encode(READING), encode(READING), b"{"):
        http.post("/api/v1/predict", content=body)
    counts = {
        code: metrics.registry.get_sample_value(
            "faultline_predictor_prediction_seconds_count", {"code": code}
        )
        for code in ("200", "422")
    }
    assert counts == {"200": 2, "422": 1}


def test_what_ends_unforeseen_is_counted_too() -> None:
    metrics = Metrics()
    judge = Judge(RuntimeError("a bug"))
    app = Shortcut(FastAPI(), Predictions(judge, ModelSlot().absence, 500, metrics))
    http = TestClient(app, raise_server_exceptions=False)
    assert http.post("/api/v1/predict", content=encode(READING)).status_code == 500
    name, code = "faultline_predictor_prediction_seconds_count", {"code": "500"}
    assert metrics.registry.get_sample_value(name, code) == 1
