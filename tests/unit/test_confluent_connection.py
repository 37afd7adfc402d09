"""How librdkafka's errors read, and what of its chatter is logged."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from faultline.adapters.confluent.connection import Connection, worth_a_line
from faultline.errors import Unavailable
from faultline.settings import KafkaSettings


def _connection(**settings: object) -> Connection:
    return Connection(
        KafkaSettings.model_validate({"kafka_bootstrap_servers": "here:1", **settings}), "test"
    )


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError._TRANSPORT, "FAULTLINE_KAFKA_PASSWORD"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "what the broker allows that user"),
        (KafkaError.FENCED_INSTANCE_ID, "FAULTLINE_KAFKA_GROUP_INSTANCE_ID"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "max.message.bytes"),
    ],
)
def test_an_error_says_what_to_look_at(code: int, named: str) -> None:
    with pytest.raises(Unavailable, match="here:1") as told, _connection().translated("reach"):
        raise KafkaException(KafkaError(code))
    assert named in str(told.value)


def test_the_log_in_and_the_authorities_reach_librdkafka() -> None:
    config = _connection(
        kafka_security_protocol="SASL_SSL",
        kafka_username="pump",
        kafka_password="secret",
        kafka_ssl_cafile="/ca.pem",
    ).config()
    wanted = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "pump",
        "sasl.password": "secret",
        "ssl.ca.location": "/ca.pem",
    }
    assert {name: config[name] for name in wanted} == wanted


@pytest.mark.parametrize(("facility", "logged"), [("FAIL", False), ("MAXPOLL", True)])
def test_failed_attempts_to_connect_are_not_logged_each(facility: str, logged: bool) -> None:
    record = logging.LogRecord(
        "librdkafka", logging.ERROR, "", 0, "%s [%s] %s", (facility, "client", "text"), None
    )
    assert worth_a_line(record) is logged
