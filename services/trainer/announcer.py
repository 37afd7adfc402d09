"""Publishes what happens to versions on `model.events`."""

from __future__ import annotations

from collections.abc import Sequence

from faultline import events
from faultline.events import ModelEvent
from faultline.ports.broker import Broker, Producer
from faultline.topics import MODEL_EVENTS

_TIMEOUT_S = 10.0


class Announcer:
    """Sends events and waits for the broker to have them. Safe to share between threads."""

    def __init__(self, broker: Broker) -> None:
        self._producer: Producer = broker.producer()

    def announce(self, told: Sequence[ModelEvent]) -> None:
        """Publish events, in order; again is harmless, as their ids are the same.

        Raises
        ------
        Unavailable
            When the broker has not taken them in time.
        """
        deliveries = [
            self._producer.send(MODEL_EVENTS.name, event.model_name.encode(), events.encode(event))
            for event in told
        ]
        for delivery in deliveries:
            delivery.wait(_TIMEOUT_S)
