"""Which client of Kafka stands behind the port."""

from __future__ import annotations

import pytest

from faultline.adapters.broker import open_broker, open_feed
from faultline.adapters.confluent import ConfluentBroker
from faultline.adapters.confluent.feed import ConfluentFeed
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.kafka.feed import KafkaFeed
from faultline.errors import FaultlineError
from faultline.settings import KafkaSettings


@pytest.mark.parametrize(
    ("client", "installed", "expected"),
    [
        ("auto", True, (ConfluentBroker, ConfluentFeed)),
        ("auto", False, (KafkaBroker, KafkaFeed)),
        ("confluent", True, (ConfluentBroker, ConfluentFeed)),
        ("kafka-python", True, (KafkaBroker, KafkaFeed)),
    ],
)
def test_the_setting_chooses_and_auto_takes_confluent_where_it_is(
    client: str, installed: bool, expected: tuple[type, type]
) -> None:
    settings = KafkaSettings.model_validate({"kafka_client": client})
    broker = open_broker(settings, confluent_installed=installed)
    feed = open_feed(settings, confluent_installed=installed)
    assert (type(broker), type(feed)) == expected


def test_a_client_that_is_asked_for_and_missing_is_named_with_its_extra() -> None:
    settings = KafkaSettings(kafka_client="confluent")
    with pytest.raises(FaultlineError, match=r"install faultline\[confluent\]"):
        open_broker(settings, confluent_installed=False)
    with pytest.raises(FaultlineError, match=r"install faultline\[confluent\]"):
        open_feed(settings, confluent_installed=False)
