"""What nobody should send: each is a 4xx with its reason, and the gateway goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from faultline.readings import MAX_SENSORS
from services.ingest.settings import GatewaySettings

URL = "/api/v1/readings"
GOOD = b'{"machine_id":"p","timestamp":1000,"sensors":{"flow":1.0}}'


def _with(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new)


def _sensors(count: int) -> bytes:
    return json.dumps({f"s{number}": number for number in range(count)}).encode()


DEEP = b"[" * 10_000 + b"]" * 10_000
DEEP_OBJECT = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
POISON = {
    "nothing": (b"", "message"),
    "no JSON": (b"not json", "message"),
    "cut short": (GOOD[:-1], "message"),
    "UTF-8 cut short": (_with(b'"p"', b'"\xe2\x82"'), "message"),
    "NUL bytes": (b"\0" * 100, "message"),
    "a NUL byte behind": (GOOD + b"\0", "message"),
    "arrays 10,000 deep": (DEEP, "message"),
    "objects 10,000 deep": (DEEP_OBJECT, "message"),
    "sensors 10,000 deep": (_with(b"1.0", DEEP), "message"),
    "a field that nobody asked for, 10,000 deep": (
        _with(b"{", b'{"more":' + DEEP + b","),
        "message",
    ),
    "NaN": (_with(b"1.0", b"NaN"), "message"),
    "Infinity": (_with(b"1.0", b"-Infinity"), "message"),
    "10^400": (_with(b"1.0", b"1e400"), "sensors.flow"),
    "10^400 written out": (_with(b"1.0", b"1" + b"0" * 400), "sensors"),
    "1e308": (_with(b"1.0", b"1e308"), "sensors"),
    "true as a number": (_with(b"1.0", b"true"), "sensors.flow"),
    "text as a number": (_with(b"1.0", b'"1"'), "sensors.flow"),
    "an object as a number": (_with(b"1.0", b"{}"), "sensors.flow"),
    "no sensors": (_with(b'{"flow":1.0}', b"{}"), "sensors: 0 given"),
    "sensors in an array": (_with(b'{"flow":1.0}', b"[1.0]"), "sensors"),
    "5,000 sensors": (_with(b'{"flow":1.0}', _sensors(5_000)), "sensors: 5000 given"),
    "one sensor too many": (_with(b'{"flow":1.0}', _sensors(MAX_SENSORS + 1)), "sensors: 1025"),
    "a sensor without a name": (_with(b"flow", b""), "sensors: the name"),
    "a sensor named by a NUL": (_with(b"flow", b"\\u0000"), "sensors: the name"),
    "a lone surrogate": (_with(b'"p"', b'"\\ud800"'), "message"),
    "a lone surrogate as a sensor": (_with(b"flow", b"\\udfff"), "message"),
    "a machine with a newline": (_with(b'"p"', b'"p\\nq"'), "machine_id"),
    "a machine with a NUL": (_with(b'"p"', b'"p\\u0000"'), "machine_id"),
    "a machine without a name": (_with(b'"p"', b'""'), "machine_id"),
    "a machine that is a number": (_with(b'"p"', b"7"), "machine_id"),
    "a machine of 129 characters": (_with(b'"p"', b'"' + b"p" * 129 + b'"'), "machine_id"),
    "the year 1": (_with(b"1000", b'"0001-01-01T00:00:00Z"'), "timestamp"),
    "the year 9999": (_with(b"1000", b'"9999-12-31T23:59:59Z"'), "timestamp"),
    "true as a time": (_with(b"1000", b"true"), "timestamp"),
    "10^300 as a time": (_with(b"1000", b"1e300"), "timestamp"),
    "a time of 5,000 digits": (_with(b"1000", b"1" * 5_000), "timestamp"),
}
LIMIT_BYTES = 200_000

Start = Callable[..., TestClient]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize(("body", "named"), list(POISON.values()), ids=list(POISON))
def test_poison_is_refused_with_its_reason_and_the_next_request_is_taken(
    start: Start, body: bytes, named: str, content_type: str
) -> None:
    client = start(request_bytes=LIMIT_BYTES)
    headers = {"content-type": content_type}
    response = client.post(URL, content=body, headers=headers)
    told = response.json()
    reasons = [error["reason"] for error in told.get("errors", [])] or [told["detail"]]
    assert response.status_code == 422
    assert any(reason.startswith(named) for reason in reasons), reasons
    assert client.post(URL, content=GOOD, headers=headers).status_code == 202


# An empty line is no reading.
@pytest.mark.parametrize(("body", "named"), list(POISON.values())[1:], ids=list(POISON)[1:])
def test_poison_among_the_lines_of_others_leaves_them_alone(
    start: Start, body: bytes, named: str
) -> None:
    response = start(request_bytes=LIMIT_BYTES).post(
        URL,
        content=b"\n".join([GOOD, body, GOOD]),
        headers={"content-type": "application/x-ndjson"},
    )
    assert (response.status_code, response.json()["accepted"]) == (207, 2)
    [error] = response.json()["errors"]
    assert (error["index"], error["reason"].startswith(named)) == (1, True)


def test_10_mb_are_refused_by_default(start: Start) -> None:
    client = start(request_bytes=GatewaySettings().gateway_request_bytes)
    response = client.post(URL, content=b"[" + b" " * 10_000_000 + b"]")
    assert (response.status_code, "larger than" in response.json()["detail"]) == (413, True)


@pytest.mark.parametrize(
    "machine_id",
    ["'; DROP TABLE readings; --", "<script>alert(1)</script>", "../../etc/passwd", "🚰", 'a"b\\c'],
)
def test_strange_names_of_machines_are_legal(client: TestClient, machine_id: str) -> None:
    wire = {"machine_id": machine_id, "timestamp": 1_000, "sensors": {"flow": 1.0}}
    assert client.post(URL, json=wire).status_code == 202


def test_values_whose_sum_is_beyond_a_double_are_refused_one_by_one(client: TestClient) -> None:
    response = client.post(URL, content=_with(b'{"flow":1.0}', b'{"a":1.7e308,"b":1.7e308}'))
    assert (response.status_code, "sensors.a" in response.text) == (422, True)
