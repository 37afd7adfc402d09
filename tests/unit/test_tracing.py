"""One trace from a request to what is said of its readings; nothing where it is not asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.adapters.tracing import Tracing, open_tracing
from faultline.adapters.tracing.spans import OpenTelemetry
from faultline.errors import FaultlineError
from faultline.ports.broker import Consumer, Message
from faultline.readings import Reading, encode, make_reading
from faultline.settings import TracingSettings
from services.predictor.fleet import Judged
from services.predictor.metrics import Metrics
from services.predictor.predicting import Predictions, Shortcut
from services.predictor.slot import ModelSlot

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1bf7651916cd43dd8448eb211c80319c"
KEY = b"pump-1"


def _parent(trace: str = TRACE, sampled: bool = True) -> bytes:
    return f"00-{trace}-b7ad6b7169203331-{'01' if sampled else '00'}".encode()


class Traced:
    """A broker in memory, traced; and the spans that have ended."""

    def __init__(self, ratio: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = OpenTelemetry("test", ratio, SimpleSpanProcessor(self._exporter))
        self.memory = MemoryBroker()
        self.memory.create_topics(topics.ALL)
        self.broker = self.tracing.broker(self.memory)

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def traces(self) -> list[str]:
        return [f"{_ids(span)[0]:032x}" for span in self.spans()]

    def reading(self, *parents: bytes, key: bytes = KEY) -> None:
        headers = tuple(("traceparent", parent) for parent in parents)
        self.memory.producer().send(topics.READINGS.name, key, b"{}", headers)

    def polled(self) -> Consumer:
        consumer = self.broker.consumer("predictor", [topics.READINGS])
        while not consumer.poll(1.0, 10):
            pass
        return consumer

    def app(self) -> TestClient:
        producer = self.broker.producer()

        def post(request: Request) -> Response:
            producer.send(topics.READINGS.name, KEY, b"{}")
            return PlainTextResponse("", 503 if "broken" in request.query_params else 202)

        routes = [Route("/machines/{id}", post, methods=["POST"]), Route("/health/live", post)]
        return TestClient(self.tracing.app(Starlette(routes=routes)))


@pytest.fixture
def traced() -> Traced:
    return Traced()


def _ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def _trace_of(message: Message) -> str | None:
    parent = dict(message.headers).get("traceparent")
    return None if parent is None else parent.decode().split("-")[1]


def test_a_message_continues_the_trace_of_its_request(traced: Traced) -> None:
    traced.app().post("/machines/7", headers={"traceparent": _parent().decode()})
    [message] = traced.memory.sent(topics.READINGS.name)
    [span] = traced.spans()
    trace_id, span_id = _ids(span)
    sent = dict(message.headers)["traceparent"].decode()
    assert sent == f"00-{trace_id:032x}-{span_id:016x}-01"
    assert traced.traces() == [TRACE]
    assert span.name == "POST /machines/{id}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 202
    assert span.status.is_unset


def test_an_answer_that_blames_the_service_is_an_error(traced: Traced) -> None:
    traced.app().post("/machines/7?broken", headers={"traceparent": _parent().decode()})
    [span] = traced.spans()
    assert not span.status.is_ok
    assert not span.status.is_unset


def _broken(request: Request) -> Response:
    raise RuntimeError("a bug")


def test_a_request_that_fails_is_named_by_its_route_too(traced: Traced) -> None:
    app = traced.tracing.app(Starlette(routes=[Route("/machines/{id}", _broken)]))
    http = TestClient(app, raise_server_exceptions=False)
    http.get("/machines/7", headers={"traceparent": _parent().decode()})
    assert [span.name for span in traced.spans()] == ["GET /machines/{id}"]


@pytest.mark.parametrize("trouble", [None, RuntimeError("a bug")])
def test_a_prediction_by_the_short_way_is_named_by_its_route(
    traced: Traced, trouble: Exception | None
) -> None:
    def predict(readings: Sequence[Reading]) -> list[Judged]:
        if trouble is not None:
            raise trouble
        return []

    predictions = Predictions(predict, ModelSlot().absence, 500, Metrics())
    app = traced.tracing.app(Shortcut(Starlette(), predictions))
    reading = encode(make_reading("a", 0, {"flow": 1.0}))
    TestClient(app, raise_server_exceptions=False).post(
        "/api/v1/predict", content=reading, headers={"traceparent": _parent().decode()}
    )
    [span] = traced.spans()
    assert span.name == "POST /api/v1/predict"
    assert span.attributes is not None
    assert span.attributes["http.route"] == "/api/v1/predict"


def test_health_is_no_span() -> None:
    traced = Traced(ratio=1.0)
    traced.app().get("/health/live")
    assert traced.spans() == []


@pytest.mark.parametrize("headers", [{}, {"traceparent": _parent(sampled=False).decode()}])
def test_what_is_not_kept_costs_no_header(traced: Traced, headers: dict[str, str]) -> None:
    traced.app().post("/machines/7", headers=headers)
    [message] = traced.memory.sent(topics.READINGS.name)
    assert (message.headers, traced.spans()) == ((), [])


def test_a_verdict_continues_the_trace_of_its_reading(traced: Traced) -> None:
    traced.reading(_parent())
    consumer = traced.polled()
    producer = traced.broker.producer()
    producer.send(topics.VERDICTS.name, KEY, b"{}")
    producer.send(topics.VERDICTS.name, b"another", b"{}")
    producer.send(topics.PREDICTOR_STATE.name, KEY, b"{}")
    assert traced.spans() == []
    consumer.poll(0.0, 10)
    [span] = traced.spans()
    assert (span.name, traced.traces()) == ("process sensor.readings", [TRACE])
    sent = {message.key: message for message in traced.memory.sent(topics.VERDICTS.name)}
    parent = dict(sent[KEY].headers)["traceparent"].decode().split("-")
    assert parent[1:3] == [TRACE, f"{_ids(span)[1]:016x}"]
    assert sent[b"another"].headers == ()
    assert [one.headers for one in traced.memory.sent(topics.PREDICTOR_STATE.name)] == [()]


def test_after_the_next_poll_the_trace_is_over(traced: Traced) -> None:
    traced.reading(_parent())
    consumer = traced.polled()
    consumer.poll(0.0, 10)
    traced.broker.producer().send(topics.VERDICTS.name, KEY, b"{}")
    assert [one.headers for one in traced.memory.sent(topics.VERDICTS.name)] == [()]


def test_a_verdict_on_several_messages_continues_the_first_and_the_others_point_to_it(
    traced: Traced,
) -> None:
    traced.reading(_parent())
    traced.reading(_parent(OTHER))
    consumer = traced.polled()
    traced.broker.producer().send(topics.VERDICTS.name, KEY, b"{}")
    consumer.close()
    assert [_trace_of(one) for one in traced.memory.sent(topics.VERDICTS.name)] == [TRACE]
    first, second = traced.spans()
    assert traced.traces() == [TRACE, OTHER]
    assert [link.context for link in second.links] == [first.get_span_context()]


@pytest.mark.parametrize("parent", [b"", b"nonsense", b"\xff\xfe", _parent(sampled=False)])
def test_a_message_without_a_trace_that_is_kept_is_no_span(traced: Traced, parent: bytes) -> None:
    traced.reading(parent)
    traced.polled().close()
    assert traced.spans() == []


def test_off_nothing_is_wrapped(traced: Traced) -> None:
    off = open_tracing(TracingSettings(FAULTLINE_OTLP_ENDPOINT=""), "test")
    app = Starlette()
    assert off.broker(traced.memory) is traced.memory
    assert off.app(app) is app
    assert type(off) is Tracing


@pytest.fixture
def without_the_packages() -> Iterator[None]:
    """As where the extra is not installed."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    hidden = {"opentelemetry.exporter.otlp.proto.http.trace_exporter": None}
    before = {name: sys.modules.get(name) for name in hidden}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    yield
    for name, module in before.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module
    sys.modules.update(kept)


def _is_ours(name: str) -> bool:
    return name == "faultline.adapters.tracing.spans"


@pytest.mark.usefixtures("without_the_packages")
def test_what_is_missing_is_named_with_the_way_to_get_it() -> None:
    settings = TracingSettings(FAULTLINE_OTLP_ENDPOINT="http://127.0.0.1:4318")
    with pytest.raises(FaultlineError, match=r"install faultline\[tracing\]"):
        open_tracing(settings, "test")


def test_the_usual_variable_turns_it_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert TracingSettings().otlp_endpoint == "http://collector:4318"
