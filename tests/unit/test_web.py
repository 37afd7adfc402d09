"""The errors, health and metrics that every HTTP service has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated

import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, Depends, FastAPI, Query
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel
from starlette.testclient import TestClient

from faultline.errors import (
    Conflict,
    FaultlineError,
    InvalidReading,
    NotFound,
    Overloaded,
    Unavailable,
)
from faultline.web import equip

_DEADLINE_S = 10.0


class _Order(BaseModel):
    amount: int


def _client(
    raised: Exception | None = None, ready: dict[str, Callable[[], str | None]] | None = None
) -> TestClient:
    app = FastAPI()
    registry = CollectorRegistry()
    Counter("readings", "Readings.", registry=registry).inc(3)
    equip(app, ready or {}, registry)

    @app.get("/raise")
    def fail() -> None:
        assert raised is not None
        raise raised

    @app.post("/order")
    def order(_: _Order) -> None:
        return None

    return TestClient(app)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no machine 'a'"), 404),
        (Conflict("someone was faster"), 409),
        (InvalidReading("sensors: 0 given"), 422),
        (Overloaded("too much in flight"), 429),
        (Unavailable("the broker does not answer"), 503),
        (FaultlineError("odd"), 500),
    ],
)
def test_an_error_of_ours_is_a_problem_with_its_status_and_text(
    error: FaultlineError, status: int
) -> None:
    answer = _client(error).get("/raise")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"] == str(error)


def test_an_error_that_waiting_mends_says_when_to_come_back() -> None:
    assert _client(Unavailable("down")).get("/raise").headers["retry-after"] == "1"


def test_an_unknown_path_is_a_problem() -> None:
    answer = _client().get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_that_is_not_allowed_says_which_are() -> None:
    answer = _client().delete("/raise")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_an_error_that_nobody_expected_is_a_problem_that_tells_nothing_of_it() -> None:
    app = FastAPI()
    equip(app, {}, CollectorRegistry())

    @app.get("/raise")
    def fail() -> None:
        raise RuntimeError("the password is secret")

    answer = TestClient(app, raise_server_exceptions=False).get("/raise")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_a_body_of_the_wrong_shape_names_the_field() -> None:
    answer = _client().post("/order", json={"amount": "many"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.amount"


def _asked() -> TestClient:
    """A service with a route that reads parameters, its dependency others, and one without."""
    app = FastAPI()
    equip(app, {}, CollectorRegistry())
    router = APIRouter(prefix="/api/v1")

    def page(limit: int = 10) -> int:
        return limit

    @router.get("/orders")
    def orders(
        limit: int = Depends(page), kinds: Annotated[list[str] | None, Query(alias="kind")] = None
    ) -> dict[str, object]:
        return {"limit": limit, "kinds": kinds}

    @router.get("/plain")
    def plain() -> None:
        return None

    app.include_router(router)
    return TestClient(app)


def test_known_query_parameters_reach_a_route_and_its_dependencies() -> None:
    answer = _asked().get("/api/v1/orders?limit=2&kind=a&kind=b")
    assert (answer.status_code, answer.json()) == (200, {"limit": 2, "kinds": ["a", "b"]})


@pytest.mark.parametrize(
    ("address", "name", "told"),
    [
        ("orders?limit=2&limt=3", "limt", "did you mean 'limit'?"),
        ("orders?kinds=a", "kinds", "did you mean 'kind'?"),
        ("orders?colour=", "colour", "there are kind, limit"),
        ("plain?verbose", "verbose", "this address has none"),
    ],
)
def test_an_unknown_query_parameter_is_refused_and_told_what_there_is(
    address: str, name: str, told: str
) -> None:
    answer = _asked().get(f"/api/v1/{address}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert error["field"] == f"query.{name}"
    assert told in error["reason"]
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"]
)
def test_whoever_looks_after_a_service_may_ask_with_any_parameter(path: str) -> None:
    assert _asked().get(path, params={"name[]": "up"}).status_code == 200


def test_a_service_is_ready_when_every_check_is_well() -> None:
    answer = _client(ready={"broker": lambda: None}).get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"broker": "ok"}}


def test_a_service_with_a_dependency_down_is_live_but_not_ready() -> None:
    client = _client(ready={"broker": lambda: None, "database": lambda: "refuses connections"})
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"broker": "ok", "database": "refuses connections"}


def test_metrics_are_in_the_text_format() -> None:
    assert "readings_total 3.0" in _client().get("/metrics").text


def test_a_dependency_that_hangs_leaves_a_service_live_and_not_ready() -> None:
    hung, asked = threading.Event(), list[None]()

    def check() -> str | None:
        asked.append(None)
        hung.wait()
        return None

    app = FastAPI()
    equip(app, {"broker": lambda: None, "database": check}, CollectorRegistry(), check_s=0.01)
    try:
        with TestClient(app) as client:
            # More than there are threads for requests.
            answers = [client.get("/health/ready") for _ in range(50)]
            assert {answer.status_code for answer in answers} == {503}
            assert answers[0].json()["checks"] == {
                "broker": "ok",
                "database": "does not answer within 0.01 s",
            }
            assert client.get("/health/live").status_code == 200
            assert client.get("/metrics").status_code == 200
            assert len(asked) == 1
    finally:
        hung.set()


def test_health_needs_no_thread_of_those_that_answer_requests() -> None:
    app = FastAPI()
    equip(app, {}, CollectorRegistry())
    busy, freed = threading.Semaphore(0), threading.Event()

    @app.get("/hang")
    def hang() -> None:
        busy.release()
        freed.wait()

    with TestClient(app) as client:
        assert client.portal is not None
        limiter = client.portal.call(current_default_thread_limiter)
        limiter.total_tokens = 1
        waiting = threading.Thread(target=client.get, args=("/hang",))
        waiting.start()
        # What would wait for a thread goes on when the timer frees it, and is then seen to have.
        timer = threading.Timer(_DEADLINE_S, freed.set)
        timer.start()
        try:
            busy.acquire()
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert client.get(path).status_code == 200
            assert not freed.is_set()
        finally:
            freed.set()
            timer.cancel()
            waiting.join()
