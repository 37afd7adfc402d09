"""`model.events`, both ways: hears that a version moved, says that one was refused."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import closing

import msgspec

from faultline import events, topics
from faultline.errors import Unavailable
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.broker import Broker
from faultline.telemetry import logger

log = logger(__name__)

_POLL_S = 0.5
_FLUSH_S = 10.0
_MOVED = (
    ModelEventKind.REGISTERED,
    ModelEventKind.PROMOTED,
    ModelEventKind.ROLLED_BACK,
    ModelEventKind.ARCHIVED,
)


class ModelNews:
    """Hears events, and wakes whoever follows the models.

    An event is only a reason to look: what is in Production, the registry says.
    """

    def __init__(self, broker: Broker, wanted: Collection[threading.Event], retry_s: float) -> None:
        self._broker = broker
        self._wanted = wanted
        self._retry_s = retry_s

    def run(self, stop: threading.Event) -> None:
        """Listen until told to stop. What is missed while the broker is down, polling finds."""
        in_trouble = False
        while not stop.is_set():
            try:
                with closing(self._broker.tail(topics.MODEL_EVENTS)) as tail:
                    while not stop.is_set():
                        values = [message.value for message in tail.poll(_POLL_S)]
                        in_trouble = False
                        if any(_is_move(value) for value in values):
                            for wanted in self._wanted:
                                wanted.set()
            except Unavailable as error:
                if not in_trouble:
                    log.warning("model events cannot be heard; polling goes on", why=str(error))
                in_trouble = True
                stop.wait(self._retry_s)


def _is_move(value: bytes) -> bool:
    try:
        return events.decode(value).kind in _MOVED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Of a kind that a later release added, perhaps: a look at the registry does no harm.
        return True


class Announcer:
    """Publishes events about models."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, event: ModelEvent) -> None:
        """Publish one and wait until the broker has it; raises `Unavailable`."""
        # Refusals are rare: a producer is not kept open for them.
        with closing(self._broker.producer()) as producer:
            producer.send(topics.MODEL_EVENTS.name, event.model_name.encode(), events.encode(event))
            producer.flush(_FLUSH_S)
