"""Apache Kafka behind `faultline.ports.broker`, through confluent-kafka (librdkafka)."""

from __future__ import annotations

from faultline.adapters.confluent.broker import ConfluentBroker

__all__ = ["ConfluentBroker"]
