"""Kafka's listener for the outside: open on the loopback, with a log-in on any other address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

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
    with containers.with_variables(KAFKA_BIND_ADDRESS="0.0.0.0") as changed:
        changed.up()
        yield changed
    containers.up()


def test_the_right_password_lets_readings_in(exposed: Containers, fleet: Fleet) -> None:
    fleet.send(20, **_LOGIN, sasl_plain_password=exposed.variables["KAFKA_PASSWORD"])
    fleet.wait()


def test_a_wrong_password_is_refused(exposed: Containers) -> None:
    from kafka.errors import KafkaError  # noqa: PLC0415 - warns where it is imported

    with pytest.raises(KafkaError, match=r"(?i)authentication"):
        exposed.producer(**_LOGIN, sasl_plain_password="wrong").close()


def test_nobody_comes_in_without_a_login(exposed: Containers) -> None:
    from kafka.errors import KafkaError  # noqa: PLC0415

    with pytest.raises(KafkaError):
        exposed.producer().close()
