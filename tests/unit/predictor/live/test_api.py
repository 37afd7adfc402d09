"""`GET /api/v1/stream` over a socket: headers, filters, refusals, and who hangs up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from faultline import topics, verdicts
from faultline.gathering import Gathering
from faultline.verdicts import Status, Verdict, VerdictBatch

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import World

_DEADLINE_S = 20.0


def _until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, "in vain"
        time.sleep(0.005)


@contextmanager
def _served(world: World) -> Iterator[str]:
    """The application as the service serves it, and the loop of the stream beside it."""
    config = uvicorn.Config(
        world.predictor.app, port=0, http=Gathering, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    stop = threading.Event()
    [live] = [loop for loop in world.predictor.loops if loop.name == "live"]
    threads = [
        threading.Thread(target=server.run),
        threading.Thread(target=live.run, args=(stop,)),
    ]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/api/v1/stream"
    finally:
        server.should_exit = True
        stop.set()
        for thread in threads:
            thread.join(_DEADLINE_S)
            assert not thread.is_alive()


def _say(world: World, time_ms: int, machine: str = "pump-1") -> None:
    batch = VerdictBatch(
        machine_id=machine,
        machine_type="pump",
        verdicts=(Verdict(timestamp_ms=time_ms, status=Status.NORMAL, score=0.5),),
    )
    producer = world.broker.producer()
    producer.send(topics.VERDICTS.name, machine.encode(), verdicts.encode(batch))


def _clients(world: World) -> float | None:
    registry = world.predictor.metrics.registry
    return registry.get_sample_value("faultline_predictor_live_clients")


def test_events_come_over_the_wire_as_they_are_said_and_who_hangs_up_is_noticed(
    world: World,
) -> None:
    with _served(world) as url, httpx.Client(trust_env=False, timeout=_DEADLINE_S) as http:
        params = {"machine_id": ["pump-1", "pump-2"], "events": "verdict"}
        with http.stream("GET", url, params=params) as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Accel-Buffering"] == "no"
            lines = (line for line in answer.iter_lines() if line)
            assert next(lines) == "retry: 3000"
            begin = next(lines)
            assert begin.startswith("id: ")
            _say(world, 1, "pump-3")
            _say(world, 2, "pump-2")
            last_id = next(lines).removeprefix("id: ")
            assert next(lines) == "event: verdict"
            assert next(lines).startswith('data: {"machine_id":"pump-2","verdicts":[{"timestamp"')
            assert _clients(world) == 1
        _until(lambda: _clients(world) == 0)
        _say(world, 3)
        back = {"Last-Event-ID": last_id}
        with http.stream("GET", url, params=params, headers=back) as answer:
            got = (line for line in answer.iter_lines() if line.startswith("data: "))
            assert '"pump-1"' in next(got)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"events": "verdicts"}, "query.events.0"),
        ({"machine_type": "Pump!"}, "query.machine_type"),
        ({"status": "bad"}, "query.status"),
        ({"type": "pump"}, "query.type"),
        ({"machine_id": ["pump-1", "a\nb"]}, None),
    ],
    ids=["events", "machine_type", "status", "unknown", "machine_id"],
)
def test_unknown_parameters_and_values_are_refused(
    world: World, params: dict[str, Any], field: str | None
) -> None:
    answer = world.http.get("/api/v1/stream", params=params)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    if field is not None:
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert _clients(world) == 0


def test_more_clients_than_there_may_be_are_asked_to_come_later(world: World) -> None:
    unlimited = httpx.Limits(max_connections=None)
    with (
        _served(world) as url,
        httpx.Client(trust_env=False, timeout=_DEADLINE_S, limits=unlimited) as http,
    ):
        open_ = [http.stream("GET", url) for _ in range(100)]
        for each in open_:
            assert each.__enter__().status_code == 200
        with http.stream("GET", url) as refused:
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "1"
            assert refused.headers["Content-Type"] == "application/problem+json"
        for each in open_:
            each.__exit__(None, None, None)
        _until(lambda: _clients(world) == 0)


def test_the_stream_is_described(world: World) -> None:
    described = world.http.get("/openapi.json").json()["paths"]["/api/v1/stream"]["get"]
    assert {one["name"] for one in described["parameters"]} == {
        "machine_id", "machine_type", "events", "status", "last-event-id",
    }  # fmt: skip
    content = described["responses"]["200"]["content"]
    assert set(content) == {"text/event-stream"}
    names = [
        one["properties"]["event"]["const"]
        for one in content["text/event-stream"]["itemSchema"]["oneOf"]
    ]
    assert names == ["verdict", "alarm", "model", "drift", "gap"]
    assert set(described["responses"]) == {"200", "422", "503"}
