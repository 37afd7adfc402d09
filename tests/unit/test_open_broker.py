"""Which client of Kafka stands behind the port."""

from __future__ import annotations

import pytest

from faultline.adapters.broker import open_broker
from faultline.adapters.confluent import ConfluentBroker
from faultline.adapters.kafka import KafkaBroker
from faultline.errors import FaultlineError
from faultline.settings import KafkaSettings


@pytest.mark.parametrize(
    ("client", "installed", "expected"),
    [
        ("auto", True, ConfluentBroker),
        ("auto", False, KafkaBroker),
        ("confluent", True, ConfluentBroker),
        ("kafka-python", True, KafkaBroker),
    ],
)
def test_the_setting_chooses_and_auto_takes_confluent_where_it_is(
    client: str, installed: bool, expected: type
) -> None:
    settings = KafkaSettings.model_validate({"kafka_client": client})
    assert type(open_broker(settings, confluent_installed=installed)) is expected


def test_a_client_that_is_asked_for_and_missing_is_named_with_its_extra() -> None:
    settings = KafkaSettings(kafka_client="confluent")
    with pytest.raises(FaultlineError, match=r"install faultline\[confluent\]"):
        open_broker(settings, confluent_installed=False)
