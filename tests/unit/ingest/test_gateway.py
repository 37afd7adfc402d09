"""The gateway over HTTP, with a broker in memory: all of a request or nothing, and in words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.errors import Overloaded, Unavailable
from faultline.ports.broker import Delivery, Headers, Message, Producer
from faultline.readings import Reading, decode, encode_batch, make_reading
from services.ingest.gateway.api import gateway_app
from services.ingest.gateway.application import Gateway
from services.ingest.gateway.metrics import GatewayMetrics

URL = "/api/v1/readings"
REQUEST_BYTES = 10_000
INFLATED_BYTES = 50_000

Start = Callable[..., TestClient]


def _reading(at_ms: int, machine_id: str = "p", value: float = 1.0) -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    return broker


@pytest.fixture
def start(broker: MemoryBroker) -> Iterator[Start]:
    """Start a gateway, on another producer if one is given."""
    clients = []

    def start(producer: Producer | None = None, message_readings: int = 200) -> TestClient:
        metrics = GatewayMetrics()
        gateway = Gateway(
            producer or broker.producer(),
            metrics,
            message_readings=message_readings,
            acknowledge_s=5.0,
        )
        app = gateway_app(
            gateway,
            {"kafka": broker.ping},
            metrics,
            request_bytes=REQUEST_BYTES,
            inflated_bytes=INFLATED_BYTES,
        )
        clients.append(TestClient(app, raise_server_exceptions=False))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


def _sent(broker: MemoryBroker) -> list[Message]:
    return broker.sent(topics.READINGS.name)


def _readings_sent(broker: MemoryBroker) -> list[Reading]:
    return [each for message in _sent(broker) for each in decode(message.value).readings]


class Producing:
    """A producer that refuses, or whose deliveries fail."""

    def __init__(
        self, refusal: Exception | None = None, delivery_failure: Exception | None = None
    ) -> None:
        self._refusal = refusal
        self._delivery_failure = delivery_failure
        self.waited = 0

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        if self._refusal is not None:
            raise self._refusal
        return self

    def wait(self, timeout_s: float) -> None:
        self.waited += 1
        if self._delivery_failure is not None:
            raise self._delivery_failure

    def flush(self, timeout_s: float) -> None:
        return

    def close(self) -> None:
        return


def test_one_reading_is_taken(client: TestClient, broker: MemoryBroker) -> None:
    wire = {"machine_id": "p", "timestamp": "1970-01-01T00:00:01Z", "sensors": {"pressure": 1.0}}
    response = client.post(URL, json=wire)
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "machines": 1})
    assert _readings_sent(broker) == [make_reading("p", 1000, {"pressure": 1.0})]


def test_an_array_is_taken_with_one_message_per_machine(
    client: TestClient, broker: MemoryBroker
) -> None:
    batch = [_reading(1, "p"), _reading(1, "q"), _reading(2, "p")]
    response = client.post(URL, content=encode_batch(batch))
    assert response.json() == {"accepted": 3, "machines": 2}
    assert sorted(message.key or b"" for message in _sent(broker)) == [b"p", b"q"]


def test_lines_are_taken(client: TestClient, broker: MemoryBroker) -> None:
    lines = b"\n".join(encode_batch([_reading(number)])[1:-1] for number in range(3))
    response = client.post(URL, content=lines, headers={"content-type": "application/x-ndjson"})
    assert response.json() == {"accepted": 3, "machines": 1}
    assert _readings_sent(broker) == [_reading(number) for number in range(3)]


def test_a_gzipped_body_is_taken(client: TestClient, broker: MemoryBroker) -> None:
    body = gzip.compress(encode_batch([_reading(1)]))
    response = client.post(URL, content=body, headers={"content-encoding": "gzip"})
    assert (response.status_code, len(_sent(broker))) == (202, 1)


def test_gzip_in_several_members_is_taken(client: TestClient, broker: MemoryBroker) -> None:
    plain = encode_batch([_reading(1), _reading(2)])
    body = gzip.compress(plain[:30]) + gzip.compress(plain[30:])
    client.post(URL, content=body, headers={"content-encoding": "gzip"})
    assert len(_readings_sent(broker)) == 2


def test_a_machines_readings_stay_in_order_over_several_messages(
    start: Start, broker: MemoryBroker
) -> None:
    batch = [_reading(number) for number in range(50)]
    start(message_readings=20).post(URL, content=encode_batch(batch))
    assert [len(decode(message.value).readings) for message in _sent(broker)] == [20, 20, 10]
    assert _readings_sent(broker) == batch


def test_one_bad_reading_refuses_the_request_and_nothing_is_sent(
    client: TestClient, broker: MemoryBroker
) -> None:
    good = json.loads(encode_batch([_reading(1)]))[0]
    response = client.post(URL, json=[good, {**good, "sensors": {"p": True}}, good, 7])
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert [error["index"] for error in body["errors"]] == [1, 3]
    assert "sensors.p: true must be a number" in body["errors"][0]["reason"]
    assert "2 of 4 readings" in body["detail"]
    assert _sent(broker) == []


def test_a_bad_line_is_told_by_its_number(client: TestClient) -> None:
    line = encode_batch([_reading(1)])[1:-1]
    response = client.post(
        URL,
        content=line + b"\nnot json\n" + line,
        headers={"content-type": "application/x-ndjson"},
    )
    assert [error["index"] for error in response.json()["errors"]] == [1]


def test_of_very_many_errors_the_first_are_listed(client: TestClient) -> None:
    response = client.post(URL, json=[7] * 500)
    body = response.json()
    assert (len(body["errors"]), "500 of 500" in body["detail"]) == (100, True)


@pytest.mark.parametrize("body", [b"", b"not json", b"5", b"[]", b"\xff", b"[" * 9_000])
def test_a_body_that_is_no_reading_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post(URL, content=body)
    assert (response.status_code, "message" in response.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", ""],
)
def test_json_is_json_however_it_is_announced(client: TestClient, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    body = encode_batch([_reading(1)])
    assert client.post(URL, content=body, headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content-type", "text/csv"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "br"),
    ],
)
def test_what_cannot_be_read_is_answered_with_what_can(
    client: TestClient, header: str, value: str
) -> None:
    response = client.post(URL, content=b"x", headers={header: value})
    assert (response.status_code, "send " in response.json()["detail"]) == (415, True)


def test_a_body_over_the_limit_is_refused_unread(client: TestClient) -> None:
    response = client.post(URL, content=b" " * (REQUEST_BYTES + 1))
    assert (response.status_code, str(REQUEST_BYTES) in response.json()["detail"]) == (413, True)


def test_a_body_of_unknown_length_over_the_limit_is_refused(client: TestClient) -> None:
    response = client.post(URL, content=iter([b" " * 1_000] * 11))
    assert response.status_code == 413


def test_a_gzip_bomb_is_refused(client: TestClient) -> None:
    body = gzip.compress(b" " * 5_000_000)
    assert len(body) < REQUEST_BYTES
    response = client.post(URL, content=body, headers={"content-encoding": "gzip"})
    assert (response.status_code, str(INFLATED_BYTES) in response.json()["detail"]) == (413, True)


def test_a_gzip_bomb_in_several_members_is_refused(client: TestClient) -> None:
    body = gzip.compress(b" " * (INFLATED_BYTES - 1)) * 2
    assert client.post(URL, content=body, headers={"content-encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize(
    "body", [b"plain", gzip.compress(b"[]", mtime=0)[:-4], gzip.compress(b"[]", mtime=0) + b"x"]
)
def test_what_is_not_gzip_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post(URL, content=body, headers={"content-encoding": "gzip"})
    assert (response.status_code, "gzip" in response.json()["detail"]) == (400, True)


def test_gzip_without_its_header_is_told_which_to_add(client: TestClient) -> None:
    response = client.post(URL, content=gzip.compress(encode_batch([_reading(1)])))
    assert response.status_code == 415
    assert "Content-Encoding: gzip" in response.json()["detail"]


def test_while_the_broker_is_down_the_sender_is_told_to_come_back(
    client: TestClient, broker: MemoryBroker
) -> None:
    broker.stop()
    response = client.post(URL, content=encode_batch([_reading(1)]))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_when_too_much_is_in_flight_the_sender_is_told_to_slow_down(start: Start) -> None:
    response = start(Producing(refusal=Overloaded("slow down"))).post(
        URL, content=encode_batch([_reading(1)])
    )
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


def test_nothing_is_accepted_that_the_broker_has_not_acknowledged(start: Start) -> None:
    client = start(Producing(delivery_failure=Unavailable("not acknowledged in time")))
    response = client.post(URL, content=encode_batch([_reading(1)]))
    assert (response.status_code, response.json()["detail"]) == (503, "not acknowledged in time")
    assert "faultline_gateway_readings_accepted_total 0.0" in client.get("/metrics").text


def test_every_message_of_a_request_is_waited_for(start: Start) -> None:
    producer = Producing()
    start(producer).post(URL, content=encode_batch([_reading(1, str(n)) for n in range(7)]))
    assert producer.waited == 7


def test_the_metrics_tell_what_was_accepted_and_refused(client: TestClient) -> None:
    client.post(URL, content=encode_batch([_reading(1), _reading(2)]))
    client.post(URL, json=[{"machine_id": 5, "timestamp": 1, "sensors": {"p": 1}}])
    metrics = client.get("/metrics").text
    assert "faultline_gateway_readings_accepted_total 2.0" in metrics
    assert 'faultline_gateway_readings_refused_total{field="machine_id"} 1.0' in metrics


def test_it_is_ready_when_the_broker_answers(client: TestClient, broker: MemoryBroker) -> None:
    before = client.get("/health/ready").status_code
    broker.stop()
    assert (before, client.get("/health/ready").status_code) == (200, 503)


def _examples(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    content = document["paths"][URL]["post"]["requestBody"]["content"]
    return {form: body["examples"] for form, body in content.items()}


def test_every_example_in_the_documentation_is_accepted(client: TestClient) -> None:
    answers = []
    for form, examples in _examples(client.get("/openapi.json").json()).items():
        for example in examples.values():
            value = example["value"]
            body = value if isinstance(value, str) else json.dumps(value)
            answers.append(client.post(URL, content=body, headers={"content-type": form}))
    assert [answer.status_code for answer in answers] == [202, 202, 202]


def test_the_documentation_names_every_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    answers = set(document["paths"][URL]["post"]["responses"])
    assert answers == {"202", "400", "413", "415", "422", "429", "503"}
