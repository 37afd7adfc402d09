"""The gateway's process on the real Kafka: what is acknowledged, and a broker in trouble."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import httpx
import psutil
import pytest
import zstandard

from faultline import topics
from faultline.local.stack import Stack
from faultline.ports.broker import Partition
from faultline.readings import Reading, decode, encode, encode_batch, make_reading

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from faultline.adapters.kafka import KafkaBroker

pytestmark = pytest.mark.real

URL = "/api/v1/readings"
ACKNOWLEDGE_S = 2.0
IN_FLIGHT_BYTES = 400_000
SETTINGS = {
    "FAULTLINE_GATEWAY_ACKNOWLEDGE_S": str(ACKNOWLEDGE_S),
    "FAULTLINE_KAFKA_MAX_IN_FLIGHT_BYTES": str(IN_FLIGHT_BYTES),
}
START_MS = 1_795_000_000_000


class Running(Protocol):
    http: httpx.Client

    def ready(self) -> bool: ...


class Services(Protocol):
    def running(
        self, name: str, settings: Mapping[str, str]
    ) -> AbstractContextManager[Running]: ...


class Until(Protocol):
    def __call__(self, done: Callable[[], bool], what: str) -> None: ...


@pytest.fixture
def gateway(services: Services, broker: KafkaBroker) -> Iterator[Running]:
    with services.running("gateway", SETTINGS) as running:
        yield running
    # Sockets that kafka-python left behind at refusals: while warnings of theirs are let pass.
    gc.collect()


@pytest.fixture
def machine() -> str:
    return f"pump-{uuid4().hex[:10]}"


def _rows(machine: str, count: int, first: int = 0) -> list[Reading]:
    return [
        make_reading(machine, START_MS + number * 1_000, {"pressure": float(number)})
        for number in range(first, first + count)
    ]


def _on_topic(broker: KafkaBroker, machine: str) -> set[tuple[str, int]]:
    """Identities of the machine's readings."""
    return {
        reading.identity
        for number in range(topics.READINGS.partitions)
        for message in broker.read(Partition(topics.READINGS.name, number))
        for reading in decode(message.value).readings
        if reading.machine_id == machine
    }


@contextmanager
def _frozen(stack: Stack) -> Iterator[None]:
    """Kafka that holds its connections and says nothing."""
    pid = next(status.pid for status in stack.status() if status.name == "kafka")
    kafka = psutil.Process(pid)
    kafka.suspend()
    try:
        yield
    finally:
        kafka.resume()


def test_of_a_mixed_table_in_zstd_the_valid_rows_are_on_the_topic(
    gateway: Running, broker: KafkaBroker, machine: str
) -> None:
    table = f"timestamp,machine_id,pressure\n{START_MS},{machine},0\n{START_MS + 1_000},,1\n"
    answer = gateway.http.post(
        URL,
        content=zstandard.compress(table.encode()),
        headers={"content-type": "text/csv", "content-encoding": "zstd"},
    )
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["refused"]) == (207, 1, 1)
    assert _on_topic(broker, machine) == {(machine, START_MS)}


def test_what_was_answered_503_is_taken_when_it_is_sent_again(
    gateway: Running, broker: KafkaBroker, platform_stack: Stack, until: Until, machine: str
) -> None:
    rows = _rows(machine, 10)
    headers = {"idempotency-key": str(uuid4())}
    with platform_stack.without("kafka"):
        refused = gateway.http.post(URL, content=encode_batch(rows), headers=headers)
    until(gateway.ready, "a gateway that is ready again")
    answers = [gateway.http.post(URL, content=encode_batch(rows), headers=headers) for _ in "12"]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert [answer.status_code for answer in answers] == [202, 202]
    assert _on_topic(broker, machine) == {each.identity for each in rows}


def test_while_kafka_is_frozen_nothing_is_promised_and_no_more_is_held_than_the_bound(
    gateway: Running, broker: KafkaBroker, platform_stack: Stack, until: Until, machine: str
) -> None:
    # Warm: it has its connection, so that it is the acknowledgement that does not come.
    assert gateway.http.post(URL, content=encode_batch(_rows(machine, 1))).status_code == 202
    rows = _rows(machine, 1_000, first=1)
    body = b"\n".join(encode(each) for each in rows)
    assert 2 * len(body) < IN_FLIGHT_BYTES < 4 * len(body)
    headers = {"content-type": "application/x-ndjson"}
    with _frozen(platform_stack):
        begun_s = time.monotonic()
        answers = [gateway.http.post(URL, content=body, headers=headers) for _ in range(6)]
        live = gateway.http.get("/health/live")
        took_s = time.monotonic() - begun_s
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 503
    assert set(statuses[1:]) <= {429, 503}
    assert statuses[-1] == 429
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert live.status_code == 200
    assert took_s > ACKNOWLEDGE_S
    assert gateway.http.get("/metrics").text.count("faultline_gateway_readings_accepted_total 1.0")

    def taken() -> bool:
        return gateway.http.post(URL, content=body, headers=headers).status_code == 202

    until(taken, "the first request that is taken again")
    assert _on_topic(broker, machine) >= {each.identity for each in rows}
