"""The gateway over HTTP, with a broker in memory: what is taken and what is refused, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.errors import Overloaded, Unavailable
from faultline.ports.broker import Delivery, Headers, Message
from faultline.readings import Reading, decode, encode_batch, make_reading

URL = "/api/v1/readings"
PAGE = (Path(__file__).parents[4] / "docs" / "data.md").read_text(encoding="utf-8")
REQUEST_BYTES = 10_000  # As in conftest.py.

Start = Callable[..., TestClient]


def _reading(at_ms: int, machine_id: str = "p", value: float = 1.0) -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


def _sent(broker: MemoryBroker) -> list[Message]:
    return broker.sent(topics.READINGS.name)


def _readings_sent(broker: MemoryBroker) -> list[Reading]:
    return [each for message in _sent(broker) for each in decode(message.value).readings]


def _all_taken(readings: int, machines: int) -> dict[str, Any]:
    return {"accepted": readings, "machines": machines, "refused": 0, "errors": []}


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
    assert (response.status_code, response.json()) == (202, _all_taken(1, 1))
    assert _readings_sent(broker) == [make_reading("p", 1000, {"pressure": 1.0})]


def test_an_array_is_taken_with_one_message_per_machine(
    client: TestClient, broker: MemoryBroker
) -> None:
    batch = [_reading(1, "p"), _reading(1, "q"), _reading(2, "p")]
    response = client.post(URL, content=encode_batch(batch))
    assert response.json() == _all_taken(3, 2)
    assert sorted(message.key or b"" for message in _sent(broker)) == [b"p", b"q"]


def test_lines_are_taken(client: TestClient, broker: MemoryBroker) -> None:
    lines = b"\n".join(encode_batch([_reading(number)])[1:-1] for number in range(3))
    response = client.post(URL, content=lines, headers={"content-type": "application/x-ndjson"})
    assert response.json() == _all_taken(3, 1)
    assert _readings_sent(broker) == [_reading(number) for number in range(3)]


def test_a_machines_readings_stay_in_order_over_several_messages(
    start: Start, broker: MemoryBroker
) -> None:
    batch = [_reading(number) for number in range(50)]
    start(message_readings=20).post(URL, content=encode_batch(batch))
    assert [len(decode(message.value).readings) for message in _sent(broker)] == [20, 20, 10]
    assert _readings_sent(broker) == batch


def test_of_a_mixed_request_the_valid_readings_are_taken_and_the_others_named(
    client: TestClient, broker: MemoryBroker
) -> None:
    good = json.loads(encode_batch([_reading(1), _reading(2, "q")]))
    response = client.post(URL, json=[good[0], {**good[0], "sensors": {"p": True}}, good[1], 7])
    body = response.json()
    assert (response.status_code, body["accepted"], body["machines"], body["refused"]) == (
        207,
        2,
        2,
        2,
    )
    assert [error["index"] for error in body["errors"]] == [1, 3]
    assert "sensors.p: true must be a number" in body["errors"][0]["reason"]
    assert sorted(_readings_sent(broker), key=lambda each: each.timestamp_ms) == [
        _reading(1),
        _reading(2, "q"),
    ]


def test_of_an_atomic_request_with_one_bad_reading_nothing_is_sent(
    client: TestClient, broker: MemoryBroker
) -> None:
    good = json.loads(encode_batch([_reading(1)]))[0]
    response = client.post(f"{URL}?atomic=true", json=[good, {**good, "sensors": {}}, good, 7])
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert [error["index"] for error in body["errors"]] == [1, 3]
    assert "2 of 4 readings" in body["detail"]
    assert _sent(broker) == []


def test_a_misspelt_parameter_is_refused_and_nothing_is_sent(
    client: TestClient, broker: MemoryBroker
) -> None:
    good = json.loads(encode_batch([_reading(1)]))[0]
    response = client.post(f"{URL}?atomik=true", json=[good, 7])
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert "query.atomik" in response.json()["detail"]
    assert "did you mean 'atomic'?" in response.json()["detail"]
    assert _sent(broker) == []


def test_an_atomic_request_of_valid_readings_is_taken(client: TestClient) -> None:
    response = client.post(f"{URL}?atomic=true", content=encode_batch([_reading(1)]))
    assert (response.status_code, response.json()) == (202, _all_taken(1, 1))


def test_the_valid_part_of_a_request_waits_for_the_broker_too(start: Start) -> None:
    client = start(Producing(delivery_failure=Unavailable("not acknowledged in time")))
    good = json.loads(encode_batch([_reading(1)]))[0]
    assert client.post(URL, json=[good, 7]).status_code == 503


def test_a_bad_line_is_told_by_its_number(client: TestClient) -> None:
    line = encode_batch([_reading(1)])[1:-1]
    response = client.post(
        URL,
        content=line + b"\n\nnot json\n" + line,
        headers={"content-type": "application/x-ndjson"},
    )
    [error] = response.json()["errors"]
    assert (error["index"], error["reason"].endswith(" (line 3)")) == (1, True)


def test_of_very_many_errors_in_a_mixed_request_the_first_are_listed(client: TestClient) -> None:
    good = json.loads(encode_batch([_reading(1)]))
    body = client.post(URL, json=[7] * 500 + good).json()
    assert (len(body["errors"]), body["refused"], body["accepted"]) == (100, 500, 1)


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
        ("content-type", "text/html"),
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
    assert [answer.status_code for answer in answers] == [202] * 4


def test_the_documentation_names_every_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    answers = set(document["paths"][URL]["post"]["responses"])
    assert answers == {"202", "207", "400", "408", "409", "413", "415", "422", "429", "503"}
    section = PAGE.partition("\n## Over HTTP\n")[2].partition("\n## ")[0]
    assert answers <= set(re.findall(r"\b\d{3}\b", section))


def test_the_example_on_the_page_is_what_a_mixed_request_is_answered(client: TestClient) -> None:
    good = json.loads(encode_batch([_reading(1), _reading(2)]))
    told = client.post(URL, json=[good[0], {**good[0], "sensors": {"pressure": True}}, good[1]])
    assert json.dumps(told.json()) in PAGE
