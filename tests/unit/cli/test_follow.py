"""`faultline follow`, and the client behind it, against a predictor that is a fake."""

from __future__ import annotations

import doctest
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from faultline.cli import app, terminal
from faultline.cli import follow as command
from faultline.cli.follow import lines
from faultline.client import LiveEvent, PredictorClient
from faultline.errors import FaultlineError, Unavailable

VERDICT = {
    "timestamp": "2026-11-21T08:00:02.000Z", "status": "failure", "score": 1.834,
    "reason": None, "why": "pump-1: flow 9",
}  # fmt: skip
BEFORE = {**VERDICT, "timestamp": "2026-11-21T08:00:01.000Z", "status": "warming_up", "score": None}
BEFORE["why"] = None


def frame(event_id: str, kind: str | None = None, data: Any = None) -> bytes:
    text = f"id: {event_id}\n"
    if kind is not None:
        text += f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n"
    return f"{text}\n".encode()


class Predictor:
    """Answers each request with the next of the given answers."""

    def __init__(self, *answers: list[bytes] | httpx.Response) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: Iterator[list[bytes] | httpx.Response] = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, stream=_Chunks(answer))


class _Chunks(httpx.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if chunk == b"cut":
                raise httpx.ReadError("cut off")
            yield chunk


def followed(
    predictor: Callable[[httpx.Request], httpx.Response], count: int, **options: Any
) -> list[LiveEvent]:
    transport = httpx.MockTransport(predictor)
    with PredictorClient("http://predictor", transport=transport) as client:
        events = client.follow(sleep=lambda _: None, **options)
        return [next(events) for _ in range(count)]


def test_what_is_asked_for_goes_along() -> None:
    predictor = Predictor([frame("1")])
    followed(
        predictor, 1, events=["alarm"], machines=["a", "b"], machine_type="pump",
        status="failure", last_event_id="7",
    )  # fmt: skip
    [request] = predictor.requests
    assert request.url.params.multi_items() == [
        ("events", "alarm"), ("machine_id", "a"), ("machine_id", "b"),
        ("machine_type", "pump"), ("status", "failure"),
    ]  # fmt: skip
    assert request.headers["Last-Event-ID"] == "7"


def test_events_are_put_together_from_whatever_pieces_come() -> None:
    data = {"machine_id": "Pumpe\u2028\x85 7", "verdicts": []}
    wire = b"retry: 3000\n\n" + frame("1") + b": ping\n\n" + frame("2", "verdict", data)
    pieces = [wire[place : place + 1] for place in range(len(wire))]
    assert followed(Predictor(pieces), 2) == [
        LiveEvent(kind="position", id="1"),
        LiveEvent(kind="verdict", id="2", data=data),
    ]


def test_a_connection_that_is_lost_is_made_again_after_the_last_event() -> None:
    predictor = Predictor(
        [frame("1", "alarm", {}), b"id: 2\nevent: ala", b"cut"],
        httpx.Response(503, json={"detail": "too many"}),
        [frame("2", "alarm", {})],
        [frame("3", "alarm", {})],
    )
    assert [event.id for event in followed(predictor, 3)] == ["1", "2", "3"]
    asked = [request.headers.get("Last-Event-ID") for request in predictor.requests]
    assert asked == [None, "1", "1", "2"]


def test_patience_ends() -> None:
    predictor = Predictor([frame("1")])
    with pytest.raises(Unavailable, match="ended the stream"):
        followed(predictor, 2, patience_s=0.0)


def test_a_refusal_is_told_at_once() -> None:
    refused = httpx.Response(422, json={"detail": "query.events: unknown"})
    with pytest.raises(FaultlineError, match=r"query\.events: unknown"):
        followed(Predictor(refused), 1)


@pytest.mark.parametrize("data", [b"<html>", b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_no_stream_is_told(data: bytes) -> None:
    with pytest.raises(FaultlineError, match="no event"):
        followed(Predictor([b"id: 1\ndata: " + data + b"\n\n"]), 1)


def test_a_person_reads_a_line_for_each_verdict_the_oldest_first() -> None:
    data = {"machine_id": "pump-1", "verdicts": [VERDICT, BEFORE]}
    assert list(lines(LiveEvent(kind="verdict", id="1", data=data))) == [
        "2026-11-21T08:00:01.000Z  pump-1  warming_up",
        "2026-11-21T08:00:02.000Z  pump-1  failure  1.83  pump-1: flow 9",
    ]


def test_alarms_models_and_drift_are_lines_too() -> None:
    alarm = {
        "machine_id": "pump-1", "state": "open", "updated_at": "T", "peak_score": 3.0, "why": "w",
    }  # fmt: skip
    model = {
        "model_name": "faultline-pump", "model_version": "4", "kind": "promoted", "at": "T",
        "actor": "gate", "reason": "",
    }  # fmt: skip
    drift = {"at": "T", "model": "faultline-pump", "summary": "drift from version 3: sensor flow"}
    [drifted] = lines(LiveEvent(kind="drift", id="1", data=drift))
    assert drifted == "T  faultline-pump  drift from version 3: sensor flow"
    [raised] = lines(LiveEvent(kind="alarm", id="1", data=alarm))
    [moved] = lines(LiveEvent(kind="model", id="1", data=model))
    assert raised == "T  pump-1  alarm open  peak 3.00  w"
    assert moved == "T  faultline-pump  version 4 promoted  by gate"


def test_nothing_of_an_event_is_obeyed_by_the_terminal() -> None:
    model = {
        "model_name": "faultline-pump", "model_version": "4", "kind": "promoted", "at": "T",
        "actor": "mallory\x1b]0;owned\x07", "reason": "fine\n\x1b[2J\x9b31m\u202e",
    }  # fmt: skip
    [line] = lines(LiveEvent(kind="model", id="1", data=model))
    assert line.endswith(r"by mallory\x1b]0;owned\x07  fine\n\x1b[2J\x9b31m\u202e")
    gap = {"reason": "slow\x1b[2J", "missed": {"a\x9b": 1}}
    assert command.gap_line(gap) == r"left out: 1 a\x9b event (slow\x1b[2J)"


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(command).failed == 0
    assert doctest.testmod(terminal).failed == 0


@pytest.fixture
def served() -> Iterator[str]:
    """A predictor that sends three events, and refuses who comes back."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refuses = "Last-Event-ID" in self.headers
            self.send_response(422 if refuses else 200)
            self.end_headers()
            if not refuses:
                data = {"machine_id": "pump-1", "verdicts": [VERDICT]}
                gap = {"reason": "slow", "missed": {"verdict": 2}}
                events = (frame("1"), frame("2", "gap", gap), frame("3", "verdict", data))
                self.wfile.write(b"".join(events))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_machine_type_has_the_name_that_it_has_elsewhere_and_a_short_one(served: str) -> None:
    for option in ("--machine-type", "--type"):
        result = CliRunner().invoke(app, ["follow", "--predictor", served, option, "pump"])
        assert "pump-1  failure" in result.stdout


def test_events_are_printed_and_gaps_told_beside_them(served: str) -> None:
    result = CliRunner().invoke(app, ["follow", "--predictor", served])
    assert result.stdout == "2026-11-21T08:00:02.000Z  pump-1  failure  1.83  pump-1: flow 9\n"
    assert result.stderr == "left out: 2 verdict events (slow)\n"
    assert "422" in str(result.exception)


def test_programs_read_one_object_per_event(served: str) -> None:
    result = CliRunner().invoke(app, ["follow", "--json", "--predictor", served])
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["event"], each["id"]) for each in told] == [("gap", "2"), ("verdict", "3")]
    assert told[1]["data"]["verdicts"] == [VERDICT]


def test_programs_read_what_was_written_and_the_terminal_nothing_that_it_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "\x1b\x7f\x9b2J\u202e caf\xe9"
    command.tell(LiveEvent(kind="model", id="1", data={"reason": said}), as_json=True)
    printed = capsys.readouterr().out
    assert printed.removesuffix("\n").isprintable()
    assert "caf\xe9" in printed
    assert json.loads(printed)["data"]["reason"] == said
