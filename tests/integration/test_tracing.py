"""One trace through the processes of all services, seen by a collector."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from faultline import topics, verdicts
from faultline.adapters.postgres import PostgresDatabase
from faultline.client import TrainerClient
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.broker import Message, Partition
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading, decode, encode, make_reading
from faultline.sources.plant import Plant

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker
    from tests.integration.conftest import Services, Until

pytestmark = pytest.mark.real

_START_MS = 1_795_000_000_000


class Seen(NamedTuple):
    """A span, as the collector got it."""

    service: str
    name: str
    trace: str
    own: str
    parent: str


class Collector:
    """Takes spans as an OpenTelemetry collector does, over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            attributes = resource.resource.attributes
            [service] = (one.value.string_value for one in attributes if one.key == "service.name")
            self.spans += [
                Seen(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]

    def of(self, trace: str) -> dict[tuple[str, str], Seen]:
        return {(span.service, span.name): span for span in self.spans if span.trace == trace}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    serving = threading.Thread(target=collector.server.serve_forever)
    serving.start()
    yield collector
    collector.server.shutdown()
    serving.join()
    collector.server.server_close()


def _messages(broker: KafkaBroker, topic: topics.Topic, key: str) -> list[Message]:
    return [
        message
        for number in range(topic.partitions)
        for message in broker.read(Partition(topic.name, number))
        if message.key == key.encode()
    ]


def _reading() -> Reading:
    return make_reading(f"traced/{uuid4().hex[:8]}", _START_MS, {"flow": 1.0}, "traced")


def test_one_trace_leads_from_the_request_to_the_verdict_and_its_row(
    services: Services, broker: KafkaBroker, collector: Collector, until: Until
) -> None:
    trace, caller = uuid4().hex, uuid4().hex[:16]
    reading = _reading()
    own = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
    body = encode(reading).replace(b'"sensors"', b'"traceparent":"%s","sensors"' % own.encode())
    settings = {
        "FAULTLINE_OTLP_ENDPOINT": collector.url,
        # How long the exporter gathers.
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with (
        services.running("gateway", settings) as gateway,
        services.running("predictor", settings),
        services.running("recorder", settings),
    ):
        answer = gateway.http.post(
            "/api/v1/readings",
            content=body,
            headers={"traceparent": f"00-{trace}-{caller}-01"},
        )
        assert answer.status_code == 202
        wanted = {
            ("faultline-gateway", "POST /api/v1/readings"),
            ("faultline-predictor", "process sensor.readings"),
            ("faultline-recorder", "process sensor.readings"),
            ("faultline-recorder", "process sensor.verdicts"),
        }
        until(lambda: set(collector.of(trace)) >= wanted, "the spans of all services")

    spans = collector.of(trace)
    assert set(spans) == wanted
    request = spans["faultline-gateway", "POST /api/v1/readings"]
    judged = spans["faultline-predictor", "process sensor.readings"]
    assert request.parent == caller
    assert judged.parent == request.own
    assert spans["faultline-recorder", "process sensor.readings"].parent == request.own
    assert spans["faultline-recorder", "process sensor.verdicts"].parent == judged.own

    [verdict] = _messages(broker, topics.VERDICTS, reading.machine_id)
    assert dict(verdict.headers) == {"traceparent": f"00-{trace}-{judged.own}-01".encode()}
    assert verdicts.decode(verdict.value).machine_id == reading.machine_id
    # What the reading brought itself is as it was.
    [sent] = _messages(broker, topics.READINGS, reading.machine_id)
    assert [one.traceparent for one in decode(sent.value).readings] == [own]


def _store(database_url: str, plant: Plant, rows: int) -> None:
    database = PostgresDatabase(database_url)
    readings = list(plant.readings(_START_MS, _START_MS + rows * plant.interval_ms))
    database.record_store().record("test", RecordBatch({}, readings), lambda _: None)
    database.dispose()


def test_one_trace_leads_from_the_request_to_train_to_the_reload(
    services: Services,
    platform: Endpoints,
    broker: KafkaBroker,
    collector: Collector,
    until: Until,
) -> None:
    kind = f"traced{uuid4().hex[:8]}"
    _store(platform.database_url, Plant(2, seed=7, machine_type=kind, period_rows=240), 900)
    trace, caller = uuid4().hex, uuid4().hex[:16]
    settings = {"FAULTLINE_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with (
        services.running("predictor", settings),
        services.running("trainer", settings) as trainer,
    ):
        answer = trainer.http.post(
            "/api/v1/ml/models/train",
            json={"machine_type": kind},
            headers={"traceparent": f"00-{trace}-{caller}-01"},
        )
        assert answer.status_code == 202
        with TrainerClient(trainer.url) as client:
            assert client.wait(answer.json()["job_id"], timeout_s=120).promoted
        wanted = {
            ("faultline-trainer", "POST /api/v1/ml/models/train"),
            ("faultline-trainer", "train"),
            ("faultline-trainer", "reading the history"),
            ("faultline-trainer", "fitting to"),
            ("faultline-trainer", "registering the version"),
            ("faultline-trainer", "promoting the version"),
            ("faultline-predictor", "reload"),
        }
        until(lambda: set(collector.of(trace)) >= wanted, "the spans of trainer and predictor")

    spans = collector.of(trace)
    request = spans["faultline-trainer", "POST /api/v1/ml/models/train"]
    job = spans["faultline-trainer", "train"]
    assert (request.parent, job.parent) == (caller, request.own)
    steps = [span for (_, name), span in spans.items() if name not in {"train", "reload"}]
    assert {span.parent for span in steps if span != request} == {job.own}
    told = _messages(broker, topics.MODEL_EVENTS, model_name(kind))
    parents = [dict(one.headers)["traceparent"].decode().split("-") for one in told]
    assert {parent[1] for parent in parents} == {trace}
    assert spans["faultline-predictor", "reload"].parent in {parent[2] for parent in parents}


def test_without_a_collector_messages_have_no_headers(
    services: Services, broker: KafkaBroker, until: Until
) -> None:
    reading = _reading()
    with services.running("gateway", {}) as gateway, services.running("predictor", {}):
        parent = {"traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"}
        answer = gateway.http.post("/api/v1/readings", content=encode(reading), headers=parent)
        assert answer.status_code == 202
        until(lambda: bool(_messages(broker, topics.VERDICTS, reading.machine_id)), "the verdict")
    for topic in (topics.READINGS, topics.VERDICTS):
        assert [one.headers for one in _messages(broker, topic, reading.machine_id)] == [()]
