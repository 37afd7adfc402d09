"""How a client's error reads that says nothing of its cause."""

from __future__ import annotations

import pytest
from kafka.errors import KafkaConnectionError

from faultline.adapters.kafka.connection import Connection
from faultline.errors import Unavailable
from faultline.settings import KafkaSettings


def test_of_a_broker_that_does_not_answer_the_login_is_named_too() -> None:
    connection = Connection(KafkaSettings(kafka_bootstrap_servers="here:1"), "test")
    with pytest.raises(Unavailable) as told, connection.translated("connect to"):
        raise KafkaConnectionError("Unable to bootstrap from ['here:1']")
    names = ("BOOTSTRAP_SERVERS", "SECURITY_PROTOCOL", "USERNAME", "PASSWORD")
    assert all(f"FAULTLINE_KAFKA_{name}" in str(told.value) for name in names)
