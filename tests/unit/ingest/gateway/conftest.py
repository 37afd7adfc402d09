"""A gateway over HTTP, on a broker in memory, with small bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.ports.broker import Producer
from faultline.readings import Reading, decode
from services.ingest.gateway.answers import Answers
from services.ingest.gateway.api import Bounds, gateway_app
from services.ingest.gateway.application import Gateway
from services.ingest.gateway.holding import Holding
from services.ingest.gateway.metrics import GatewayMetrics
from services.ingest.gateway.rate import Rate

REQUEST_BYTES = 10_000
UNPACKED_BYTES = 50_000


class Gateways:
    """Starts gateways on one broker, each with what is given and defaults else."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.seconds = 1_000.0
        self.holding = Holding(2_000_000)
        self._clients: list[TestClient] = []

    def start(
        self,
        producer: Producer | None = None,
        *,
        message_readings: int = 200,
        request_bytes: int = REQUEST_BYTES,
        readings_per_s: float | None = None,
        client_header: str | None = None,
        answers_bytes: int = 100_000,
    ) -> TestClient:
        metrics = GatewayMetrics()
        gateway = Gateway(
            producer or self.broker.producer(),
            metrics,
            message_readings=message_readings,
            acknowledge_s=5.0,
        )
        bounds = Bounds(
            request_bytes,
            UNPACKED_BYTES if request_bytes == REQUEST_BYTES else 4 * request_bytes,
            20_000,
            5.0,
            self.holding,
            Rate(readings_per_s, self._now_s),
            client_header,
        )
        app = gateway_app(
            gateway,
            {"kafka": self.broker.ping},
            metrics,
            bounds,
            Answers(answers_bytes, 60.0, self._now_s),
        )
        self._clients.append(TestClient(app, raise_server_exceptions=False))
        return self._clients[-1]

    def _now_s(self) -> float:
        return self.seconds

    def readings_sent(self) -> list[Reading]:
        """All readings on the topic."""
        messages = self.broker.sent(topics.READINGS.name)
        return [each for message in messages for each in decode(message.value).readings]

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def gateways() -> Iterator[Gateways]:
    gateways = Gateways()
    yield gateways
    gateways.close()


@pytest.fixture
def broker(gateways: Gateways) -> MemoryBroker:
    return gateways.broker


@pytest.fixture
def start(gateways: Gateways) -> Callable[..., TestClient]:
    return gateways.start


@pytest.fixture
def client(gateways: Gateways) -> TestClient:
    return gateways.start()
