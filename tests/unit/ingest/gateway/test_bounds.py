"""What one client may send, and what all requests together may hold."""

from __future__ import annotations

import gzip

import pytest

from faultline.errors import Overloaded
from faultline.readings import encode_batch, make_reading
from services.ingest.gateway.holding import Held, Holding, NeverFits
from services.ingest.gateway.rate import Rate, TooFast
from tests.unit.ingest.gateway.conftest import Gateways

URL = "/api/v1/readings"


def _body(readings: int) -> bytes:
    return encode_batch([make_reading("p", at_ms, {"flow": 1.0}) for at_ms in range(readings)])


def test_a_client_over_its_rate_is_told_when_to_come_back(gateways: Gateways) -> None:
    client = gateways.start(readings_per_s=10.0)
    taken = client.post(URL, content=_body(45))
    refused = client.post(URL, content=_body(1))
    assert (taken.status_code, refused.status_code) == (202, 429)
    # 35 beyond the 10 of the first second.
    assert refused.headers["retry-after"] == "4"
    gateways.seconds += 3.4
    assert client.post(URL, content=_body(1)).status_code == 429
    gateways.seconds += 0.6
    assert client.post(URL, content=_body(1)).status_code == 202
    assert "faultline_gateway_requests_limited_total 2.0" in client.get("/metrics").text


def test_clients_are_told_apart_by_the_header_that_a_proxy_sets(gateways: Gateways) -> None:
    client = gateways.start(readings_per_s=1.0, client_header="X-Real-IP")
    answers = [
        client.post(URL, content=_body(5), headers={"x-real-ip": name}).status_code
        for name in ("a", "a", "b")
    ]
    assert answers == [202, 429, 202]


def test_unless_asked_for_no_rate_is_bound(gateways: Gateways) -> None:
    client = gateways.start()
    assert {client.post(URL, content=_body(50)).status_code for _ in range(20)} == {202}


def test_a_bucket_never_holds_more_than_a_second() -> None:
    now_s = 0.0
    rate = Rate(10.0, lambda: now_s)
    rate.charge("a", 1)
    now_s = 1_000.0
    rate.charge("a", 11)
    with pytest.raises(TooFast):
        rate.let_in("a")


def test_what_refused_requests_cost_counts_as_well(gateways: Gateways) -> None:
    client = gateways.start(readings_per_s=2.0)
    answers = [client.post(URL, content=b"no json").status_code for _ in range(3)]
    assert answers == [422, 422, 429]


def test_all_requests_together_hold_no_more_than_the_bound(gateways: Gateways) -> None:
    client = gateways.start()
    gateways.holding.add(2_000_000 - 700)
    answers = [client.post(URL, content=_body(number)) for number in (1, 10)]
    assert [answer.status_code for answer in answers] == [202, 429]
    assert answers[1].headers["retry-after"] == "1"


def test_what_a_body_becomes_when_it_is_unpacked_counts_too(gateways: Gateways) -> None:
    client = gateways.start()
    body = gzip.compress(_body(300))
    assert len(body) < 2_000
    gateways.holding.add(2_000_000 - 2_000)
    response = client.post(URL, content=body, headers={"content-encoding": "gzip"})
    assert response.status_code == 429


def test_nothing_is_held_when_the_requests_are_over(gateways: Gateways) -> None:
    client = gateways.start()
    client.post(URL, content=_body(10))
    client.post(URL, content=b"no json")
    client.post(URL, content=iter([b" " * 1_000] * 11))
    client.post(URL, content=gzip.compress(_body(10)), headers={"content-encoding": "gzip"})
    assert gateways.holding.held_bytes == 0
    assert "faultline_gateway_held_bytes 0.0" in client.get("/metrics").text


def test_what_did_not_fit_is_not_held() -> None:
    holding = Holding(100)
    with Held(holding) as held, Held(holding) as other:
        held.add(60)
        with pytest.raises(Overloaded):
            other.add(60)
        with pytest.raises(NeverFits):
            held.add(60)
        assert holding.held_bytes == 60
    assert holding.held_bytes == 0


def test_what_alone_is_over_the_bound_is_not_told_to_come_back(gateways: Gateways) -> None:
    gateways.holding = Holding(5_000)
    client = gateways.start()
    # As sent, and as decoded.
    for body in (b" " * 5_001, _body(40)):
        response = client.post(URL, content=body)
        assert (response.status_code, "retry-after" in response.headers) == (413, False)
        assert "in several requests" in response.json()["detail"]
    assert client.post(URL, content=_body(10)).status_code == 202
    assert gateways.holding.held_bytes == 0


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[" + b"1," * 20_000 + b"1]"),
        ("application/x-ndjson", b"1\n" * 20_000),
        ("text/csv", b"timestamp,machine_id,p\r" + b"1\r" * 20_000),
        ("text/csv", b"timestamp;machine_id;p\n" + b"1;" * 20_000),
        ("text/csv", b"timestamp\tmachine_id\tp\n" + b"1\t" * 20_000),
    ],
)
def test_very_many_values_are_refused_before_they_are_made(
    gateways: Gateways, content_type: str, body: bytes
) -> None:
    packed = {"content-type": content_type, "content-encoding": "gzip"}
    response = gateways.start().post(URL, content=gzip.compress(body), headers=packed)
    assert (response.status_code, "20000 values" in response.json()["detail"]) == (413, True)


def test_the_commas_of_numbers_between_semicolons_are_no_values(gateways: Gateways) -> None:
    names = ";".join(f"s{number}" for number in range(100))
    row = f"1000;p{';1,5' * 100}\n"
    response = gateways.start(request_bytes=200_000).post(
        URL,
        content=f"timestamp;machine_id;{names}\n{row * 150}",
        headers={"content-type": "text/csv"},
    )
    assert (response.status_code, response.json().get("accepted")) == (202, 150)


def test_what_a_body_becomes_when_it_is_decoded_counts_too(gateways: Gateways) -> None:
    gateways.holding.add(2_000_000 - 10_000)
    body = _body(50)
    assert len(body) < 6_000
    assert gateways.start().post(URL, content=body).status_code == 429


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[" + b"1," * 9_000 + b"1]"),
        ("application/x-ndjson", b"1\n" * 9_000),
        ("text/csv", b"timestamp,machine_id,p\n" + b"1\n" * 9_000),
    ],
)
def test_what_refused_readings_take_is_held_as_well(
    gateways: Gateways, content_type: str, body: bytes
) -> None:
    # Enough for the values, not for a reason each.
    gateways.holding.add(2_000_000 - 800_000)
    client = gateways.start(request_bytes=200_000)
    response = client.post(URL, content=body, headers={"content-type": content_type})
    assert response.status_code == 429
    assert gateways.holding.held_bytes == 1_200_000
