"""Apache Kafka behind `faultline.ports.broker`, through kafka-python."""

from __future__ import annotations

from faultline.adapters.kafka.broker import KafkaBroker

__all__ = ["KafkaBroker"]
