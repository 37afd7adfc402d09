"""Kafka's listener for the outside: open on the loopback, with a log-in on any other address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from faultline.adapters.kafka import KafkaBroker
from faultline.settings import KafkaSettings

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet

pytestmark = pytest.mark.compose

_LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "producer",
}


@pytest.fixture(scope="module")
def exposed(containers: Containers) -> Iterator[Containers]:
    """Kafka bound to every address of this machine; on the loopback again afterwards."""
    try:
        with containers.with_variables(KAFKA_BIND_ADDRESS="0.0.0.0") as changed:
            changed.up()
            yield changed
    finally:
        containers.up()


def test_the_right_password_lets_readings_in(exposed: Containers, fleet: Fleet) -> None:
    fleet.send(20, **_LOGIN, sasl_plain_password=exposed.variables["KAFKA_PASSWORD"])
    fleet.wait()


def test_a_wrong_password_is_refused(exposed: Containers) -> None:
    before = _refusals(exposed)
    assert _answer(exposed, "wrong") is not None
    assert _refusals(exposed) > before


def test_nobody_comes_in_without_a_login(exposed: Containers) -> None:
    assert _answer(exposed, None) is not None


def test_whoever_logs_in_is_answered(exposed: Containers) -> None:
    assert _answer(exposed, exposed.variables["KAFKA_PASSWORD"]) is None


def _answer(exposed: Containers, password: str | None) -> str | None:
    """What is wrong when the cluster is asked; None when it answers."""
    # The service's own connection: a producer that could not be built leaves its sockets open.
    broker = KafkaBroker(
        KafkaSettings(
            kafka_bootstrap_servers=exposed.address("KAFKA_PORT"),
            kafka_security_protocol="PLAINTEXT" if password is None else "SASL_PLAINTEXT",
            kafka_username="producer",
            kafka_password=password,
        ),
        "stranger",
    )
    try:
        return broker.ping()
    finally:
        broker.close()


def _refusals(exposed: Containers) -> int:
    return exposed.run("logs", "kafka").count("Failed authentication")
