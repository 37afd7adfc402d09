"""One trace from a request to train, through its job and its events, to the version's reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from faultline import events, topics
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.tracing import Tracing
from faultline.adapters.tracing.spans import OpenTelemetry
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.jobs import JobResult, TrainingRequest

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
UNSEEN = f"00-{TRACE}-b7ad6b7169203331-00"
REQUEST = TrainingRequest(machine_type="pump")
RESULT = JobResult(
    model_name="faultline-pump", model_version="3", run_id="r", promoted=True, decision="passed"
)


class Traced:
    """A queue and a broker in memory, traced; and the spans that have ended."""

    def __init__(self, ratio: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = OpenTelemetry("test", ratio, SimpleSpanProcessor(self._exporter))
        self.memory = MemoryBroker()
        self.memory.create_topics(topics.ALL)
        self.broker = self.tracing.broker(self.memory)
        self.queue = self.tracing.queue(MemoryDatabase().job_queue())

    def ask(self, parent: str) -> None:
        """Submit a job in a request."""

        def train(request: Request) -> Response:
            self.queue.submit(REQUEST)
            return PlainTextResponse("", 202)

        app = Starlette(routes=[Route("/train", train, methods=["POST"])])
        TestClient(self.tracing.app(app)).post("/train", headers={"traceparent": parent})

    def claim(self) -> str:
        job = self.queue.claim("one", 60.0)
        assert job is not None
        return job.job_id

    def spans(self) -> Mapping[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}

    def announce(self) -> None:
        event = ModelEvent(
            event_id="e",
            kind=ModelEventKind.PROMOTED,
            model_name="faultline-pump",
            model_version="3",
            at_ms=0,
            actor="gate",
        )
        key = event.model_name.encode()
        self.broker.producer().send(topics.MODEL_EVENTS.name, key, events.encode(event))


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    # No job stays under way in the thread of the tests.
    traced.queue.claim("another", 60.0)


def _own(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def _parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


def test_a_job_continues_the_trace_of_its_request_and_its_steps_are_below_it(
    traced: Traced,
) -> None:
    traced.ask(PARENT)
    job_id = traced.claim()
    traced.queue.renew(job_id, "one", 60.0, "reading the history")
    traced.queue.renew(job_id, "one", 60.0, "reading the history")
    traced.queue.renew(job_id, "one", 60.0, "fitting to 3,600 readings of 8 machines")
    traced.queue.succeed(job_id, "one", RESULT)

    spans = traced.spans()
    assert set(spans) == {"POST /train", "train", "reading the history", "fitting to"}
    assert _own(spans["train"]).startswith(TRACE)
    assert _parent(spans["train"]) == _own(spans["POST /train"])
    for name in ("reading the history", "fitting to"):
        assert _parent(spans[name]) == _own(spans["train"])
    attributes = spans["fitting to"].attributes
    assert attributes is not None
    assert attributes["faultline.progress"] == "fitting to 3,600 readings of 8 machines"
    assert spans["train"].status.is_unset


def test_what_a_job_announces_carries_its_trace_until_it_ends(traced: Traced) -> None:
    traced.ask(PARENT)
    job_id = traced.claim()
    traced.queue.renew(job_id, "one", 60.0, "announcing the version")
    traced.announce()
    traced.queue.succeed(job_id, "one", RESULT)
    traced.announce()
    within, after = (dict(one.headers) for one in traced.memory.sent(topics.MODEL_EVENTS.name))
    announcing = _own(traced.spans()["announcing the version"])
    assert (within, after) == ({"traceparent": f"00-{announcing}-01".encode()}, {})


def test_a_failed_job_is_an_error_that_says_why(traced: Traced) -> None:
    traced.ask(PARENT)
    traced.queue.fail(traced.claim(), "one", "too little history")
    status = traced.spans()["train"].status
    assert (status.is_ok, status.description) == (False, "too little history")


def test_a_job_that_was_left_ends_with_the_next_claim(traced: Traced) -> None:
    traced.ask(PARENT)
    traced.claim()
    assert "train" not in traced.spans()
    assert traced.queue.claim("one", 60.0) is None
    assert "train" in traced.spans()


@pytest.mark.parametrize(("parent", "kept"), [(PARENT, True), (UNSEEN, False)])
def test_who_asks_decides_whether_a_job_is_traced(parent: str, kept: bool) -> None:
    traced = Traced(ratio=1.0)
    traced.ask(parent)
    traced.queue.succeed(traced.claim(), "one", RESULT)
    assert ("train" in traced.spans()) is kept


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_of_jobs_that_nobody_asked_for_a_part_is_traced(ratio: float) -> None:
    traced = Traced(ratio)
    traced.queue.submit(REQUEST)
    traced.queue.succeed(traced.claim(), "one", RESULT)
    assert list(traced.spans()) == (["train"] if ratio else [])


def test_the_reload_of_a_version_is_in_the_trace_that_told_of_it(traced: Traced) -> None:
    tail = traced.broker.tail(topics.MODEL_EVENTS)
    traced.ask(PARENT)
    job_id = traced.claim()
    traced.announce()
    traced.queue.succeed(job_id, "one", RESULT)
    assert len(tail.poll(1.0)) == 1
    with traced.tracing.reload("faultline-pump", "2"):
        pass
    assert "reload" not in traced.spans()
    with traced.tracing.reload("faultline-pump", "3"):
        pass
    assert _parent(traced.spans()["reload"]) == _own(traced.spans()["train"])


def test_an_event_without_a_trace_ends_the_one_before(traced: Traced) -> None:
    tail = traced.broker.tail(topics.MODEL_EVENTS)
    traced.ask(PARENT)
    job_id = traced.claim()
    traced.announce()
    traced.queue.succeed(job_id, "one", RESULT)
    traced.announce()
    assert len(tail.poll(1.0)) == 2
    with traced.tracing.reload("faultline-pump", "3"):
        pass
    assert "reload" not in traced.spans()


def test_a_refused_version_is_an_error_that_is_raised_on(traced: Traced) -> None:
    tail = traced.broker.tail(topics.MODEL_EVENTS)
    traced.ask(PARENT)
    traced.claim()
    traced.announce()
    tail.poll(1.0)
    with (
        pytest.raises(ValueError, match="broken"),
        traced.tracing.reload("faultline-pump", "3"),
    ):
        raise ValueError("broken")
    assert not traced.spans()["reload"].status.is_ok


def test_off_a_queue_is_not_wrapped() -> None:
    queue = MemoryDatabase().job_queue()
    assert Tracing().queue(queue) is queue


@pytest.mark.parametrize("value", [b"{", b'{"kind": "\xff"}', b'{"x":' + b"[" * 100_000])
def test_an_event_that_cannot_be_read_is_handed_on(traced: Traced, value: bytes) -> None:
    tail = traced.broker.tail(topics.MODEL_EVENTS)
    traced.memory.producer().send(topics.MODEL_EVENTS.name, b"faultline-pump", value)
    assert [message.value for message in tail.poll(1.0)] == [value]
