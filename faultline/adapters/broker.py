"""Chooses the client of Kafka that stands behind the port: one decision, for every process."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from faultline.errors import FaultlineError
from faultline.ports.broker import Broker
from faultline.ports.feed import Feed
from faultline.settings import KafkaSettings

_INSTALLED = find_spec("confluent_kafka") is not None


class KafkaCluster(Broker, Protocol):
    """A broker that can be asked how it is."""

    def ping(self, now: Callable[[], float] = time.monotonic) -> str | None:
        """Ask whether the cluster answers: None, or what is wrong. An answer holds for a while."""


def open_broker(
    settings: KafkaSettings, client_id: str = "faultline", *, confluent_installed: bool = _INSTALLED
) -> KafkaCluster:
    """The broker, through the client that the settings name; connects to nothing yet.

    Parameters
    ----------
    settings
        Where the brokers are, how to reach them, and through which client.
    client_id
        Names the process in the broker's logs.
    confluent_installed
        Whether there is a choice.

    Raises
    ------
    FaultlineError
        When the settings ask for confluent-kafka and it is not installed.
    """
    if _is_confluent(settings, confluent_installed):
        from faultline.adapters.confluent import ConfluentBroker  # noqa: PLC0415 - only the one that is used

        return ConfluentBroker(settings, client_id)
    from faultline.adapters.kafka import KafkaBroker  # noqa: PLC0415 - only the one that is used

    return KafkaBroker(settings, client_id)


def open_feed(
    settings: KafkaSettings, client_id: str = "faultline", *, confluent_installed: bool = _INSTALLED
) -> Feed:
    """The feed, through the same client as the broker; parameters and errors are its too."""
    if _is_confluent(settings, confluent_installed):
        from faultline.adapters.confluent.feed import ConfluentFeed  # noqa: PLC0415 - only the one that is used

        return ConfluentFeed(settings, client_id)
    from faultline.adapters.kafka.feed import KafkaFeed  # noqa: PLC0415 - only the one that is used

    return KafkaFeed(settings, client_id)


def _is_confluent(settings: KafkaSettings, installed: bool) -> bool:
    if settings.kafka_client == "confluent" and not installed:
        raise FaultlineError(
            "FAULTLINE_KAFKA_CLIENT asks for confluent-kafka, which is not installed; install "
            "faultline[confluent], or leave the choice to auto"
        )
    return installed and settings.kafka_client != "kafka-python"
