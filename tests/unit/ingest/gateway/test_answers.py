"""Requests with an Idempotency-Key: the same answer for the same, and what is not the same."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.readings import encode_batch, make_reading
from services.ingest.gateway.answers import Answer, Answers, idempotency_key
from tests.unit.ingest.gateway.conftest import Gateways

URL = "/api/v1/readings"
KEY = {"idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
BODY = encode_batch([make_reading("p", 1_000, {"flow": 1.0})])
OTHER = encode_batch([make_reading("p", 2_000, {"flow": 1.0})])


def _messages(broker: MemoryBroker) -> int:
    return len(broker.sent(topics.READINGS.name))


def test_a_repetition_gets_the_same_answer_and_sends_nothing(
    client: TestClient, broker: MemoryBroker
) -> None:
    mixed = BODY[:-1] + b",7]"
    answers = [client.post(URL, content=mixed, headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [207, 207]
    assert answers[0].json() == answers[1].json()
    assert _messages(broker) == 1


def test_without_a_key_a_repetition_is_sent_again(client: TestClient, broker: MemoryBroker) -> None:
    for _ in range(2):
        client.post(URL, content=BODY)
    assert _messages(broker) == 2


@pytest.mark.parametrize(
    ("body", "query", "content_type"),
    [
        (OTHER, "", "application/json"),
        (BODY, "?atomic=true", "application/json"),
        (BODY, "", "application/x-ndjson"),
    ],
)
def test_another_request_with_the_key_is_refused(
    client: TestClient, body: bytes, query: str, content_type: str
) -> None:
    client.post(URL, content=BODY, headers=KEY)
    response = client.post(
        f"{URL}{query}", content=body, headers={**KEY, "content-type": content_type}
    )
    assert (response.status_code, "another request" in response.json()["detail"]) == (422, True)


def test_what_was_not_taken_is_tried_again(gateways: Gateways) -> None:
    client = gateways.start()
    gateways.broker.stop()
    before = client.post(URL, content=BODY, headers=KEY).status_code
    gateways.broker.start()
    assert (before, client.post(URL, content=BODY, headers=KEY).status_code) == (503, 202)


def test_what_was_refused_may_be_mended_under_the_same_key(client: TestClient) -> None:
    refused = client.post(URL, content=b"[7]", headers=KEY).status_code
    assert (refused, client.post(URL, content=BODY, headers=KEY).status_code) == (422, 202)


def test_clients_may_have_the_same_keys(gateways: Gateways) -> None:
    client = gateways.start(client_header="X-Real-IP")
    answers = [
        client.post(URL, content=body, headers={"idempotency-key": "1", "x-real-ip": name})
        for name, body in (("a", BODY), ("b", OTHER), ("a", BODY), ("b", BODY))
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 422]
    assert _messages(gateways.broker) == 2


def test_an_answer_is_forgotten_after_its_time(gateways: Gateways) -> None:
    client = gateways.start()
    client.post(URL, content=BODY, headers=KEY)
    gateways.seconds += 61
    assert client.post(URL, content=OTHER, headers=KEY).status_code == 202


def test_of_more_answers_than_are_remembered_the_oldest_are_forgotten() -> None:
    answers = Answers(size_bytes=10_000, keep_s=60.0)
    given: list[str] = []

    def ask(key: str) -> None:
        async def give() -> Answer:
            given.append(key)
            return Answer(202, bytes(500))

        asyncio.run(answers.once("", key, b"", give))

    for number in range(20):
        ask(str(number))
    ask("19")
    ask("0")
    assert given == [*(str(number) for number in range(20)), "0"]


def test_an_answer_larger_than_all_that_is_remembered_is_given_all_the_same() -> None:
    async def give() -> Answer:
        return Answer(202, bytes(500))

    assert asyncio.run(Answers(0, 60.0).once("", "key", b"", give)).status == 202


def test_while_the_first_is_under_way_the_second_is_told_to_come_back() -> None:
    answers = Answers(10_000, 60.0)

    async def both() -> HTTPException:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def give() -> Answer:
            begun.set()
            await go_on.wait()
            return Answer(202, b"")

        first = asyncio.create_task(answers.once("", "key", b"same", give))
        await begun.wait()
        with pytest.raises(HTTPException) as refused:
            await answers.once("", "key", b"same", give)
        with pytest.raises(HTTPException, match="another request"):
            await answers.once("", "key", b"other", give)
        go_on.set()
        assert await first == Answer(202, b"")
        return refused.value

    told = asyncio.run(both())
    assert (told.status_code, told.headers) == (409, {"Retry-After": "1"})


@pytest.mark.parametrize(("header", "key"), [('"a b"', "a b"), ("bare", "bare"), (' "x" ', "x")])
def test_a_key_is_quoted_or_bare(header: str, key: str) -> None:
    assert idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "\xe9", "a\tb"])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(HTTPException) as refused:
        idempotency_key(header)
    assert refused.value.status_code == 400
