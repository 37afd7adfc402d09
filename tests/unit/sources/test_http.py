from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import httpx
import pytest

from faultline.errors import FaultlineError, InvalidReading, Unavailable
from faultline.readings import Reading, decode
from faultline.sources.http import HttpSink

Answer = Callable[[httpx.Request], httpx.Response]
READING = Reading(machine_id="pump-01", timestamp_ms=1_000, sensors={"flow": 1.0})


class Gateway:
    """Answers from a list, then with 202; remembers what it was sent and how long was waited."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self._answers: Iterator[httpx.Response | httpx.TransportError] = iter(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._answers, httpx.Response(202))
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def accepted(self) -> list[Reading]:
        """Readings of all requests."""
        return [reading for request in self.requests for reading in _readings(request)]

    def sink(self, give_up_after_s: float = 60.0) -> HttpSink:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return HttpSink(
            "http://gateway:8001/",
            client,
            give_up_after_s=give_up_after_s,
            sleep=self.waits.append,
        )


def _readings(request: httpx.Request) -> list[Reading]:
    packed = request.headers.get("content-encoding") == "gzip"
    return decode(gzip.decompress(request.content) if packed else request.content).readings


def series(rows: int) -> list[Reading]:
    return [
        Reading(machine_id="pump-01", timestamp_ms=1_000 * row, sensors={"flow": 1.0})
        for row in range(rows)
    ]


def test_readings_are_posted_as_a_json_array_of_which_all_or_none_is_to_be_taken() -> None:
    gateway = Gateway()
    with gateway.sink() as sink:
        sink.send([READING])
    [request] = gateway.requests
    assert str(request.url) == "http://gateway:8001/api/v1/readings?atomic=true"
    assert request.headers["content-type"] == "application/json"
    assert gateway.accepted() == [READING]


def test_a_request_has_at_most_500_readings() -> None:
    gateway = Gateway()
    with gateway.sink() as sink:
        sink.send(series(1_001))
    assert [len(_readings(request)) for request in gateway.requests] == [500, 500, 1]


def test_only_a_large_body_is_compressed() -> None:
    gateway = Gateway()
    with gateway.sink() as sink:
        sink.send(series(1))
        sink.send(series(300))
    packed = [request.headers.get("content-encoding") for request in gateway.requests]
    assert packed == [None, "gzip"]
    assert gateway.accepted() == [*series(1), *series(300)]


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(408),
        httpx.Response(503),
        httpx.Response(429),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
def test_what_passes_by_itself_is_tried_again(
    trouble: httpx.Response | httpx.TransportError,
) -> None:
    gateway = Gateway(trouble, trouble)
    with gateway.sink() as sink:
        sink.send([READING])
    assert len(gateway.requests) == 3


def test_the_gateway_says_when_to_come_back() -> None:
    gateway = Gateway(httpx.Response(429, headers={"retry-after": "3"}))
    with gateway.sink() as sink:
        sink.send([READING])
    assert gateway.waits == [3.0]


def test_waiting_has_an_end_that_names_the_gateway_and_the_cause() -> None:
    gateway = Gateway(*[httpx.ConnectError("refused")] * 1_000)
    with (
        gateway.sink(give_up_after_s=20.0) as sink,
        pytest.raises(Unavailable, match=r"gateway:8001.*refused.*20 s"),
    ):
        sink.send([READING])
    assert 10.0 < sum(gateway.waits) <= 20.0


def test_a_refusal_says_what_the_gateway_says_and_is_not_repeated() -> None:
    problem = {"title": "Unprocessable", "detail": "sensors.flow: 1e200 must be finite"}
    gateway = Gateway(httpx.Response(422, json=problem))
    with gateway.sink() as sink, pytest.raises(InvalidReading, match=r"422.*sensors\.flow: 1e200"):
        sink.send([READING])
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("status", [207, 422])
def test_what_is_refused_is_never_taken_for_sent(status: int) -> None:
    told = {"detail": "1 of 1 refused.", "errors": [{"index": 0, "reason": "flow: no"}]}
    gateway = Gateway(httpx.Response(status, json=told))
    with gateway.sink() as sink, pytest.raises(InvalidReading, match=rf"{status}.*flow: no"):
        sink.send([READING])
    assert len(gateway.requests) == 1


def test_an_answer_of_something_else_is_an_error_with_its_text() -> None:
    gateway = Gateway(httpx.Response(404, text="no such page"))
    with gateway.sink() as sink, pytest.raises(FaultlineError, match=r"404.*no such page"):
        sink.send([READING])
