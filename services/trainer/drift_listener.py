"""Hears `drift.events`, and has each decided once. It knows the broker, not the store."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from functools import partial

import msgspec

from faultline import drift
from faultline.drift import DriftEvent
from faultline.errors import Unavailable
from faultline.ports.broker import Broker, Consumer, Message
from faultline.ports.triggers import Occasion, TriggerKind
from faultline.readings.timestamps import MAX_TIMESTAMP_MS
from faultline.service import retrying
from faultline.telemetry import logger
from faultline.topics import DRIFT_EVENTS
from services.trainer.metrics import Metrics
from services.trainer.triggers import Triggers

log = logger(__name__)

GROUP = "faultline-trainer-drift"
_POLL_S = 0.5
_POLL_MESSAGES = 100
_MACHINE_TYPE = re.compile(r"[a-z0-9_-]{1,63}")
_LONGEST_ID = 256


class DriftListener:
    """Follows the topic in a group, so that of all trainers one hears an event.

    An offset is committed after its event is decided. An event that comes again is known by its id.

    Parameters
    ----------
    retry_s
        Between two tries while the broker or the store is down.
    """

    def __init__(
        self, broker: Broker, triggers: Triggers, metrics: Metrics, retry_s: float
    ) -> None:
        self._broker = broker
        self._triggers = triggers
        self._metrics = metrics
        self._retry_s = retry_s
        self._in_trouble = False

    def run(self, stop: threading.Event) -> None:
        """Listen until told to stop. What is down is waited for; no event is skipped."""
        with closing(self._broker.consumer(GROUP, [DRIFT_EVENTS])) as consumer:
            while not stop.is_set():
                try:
                    self.step(consumer, stop)
                except Unavailable as error:
                    if not self._in_trouble:
                        log.warning("drift events cannot be heard; waiting", why=str(error))
                    self._in_trouble = True
                    stop.wait(self._retry_s)
                else:
                    self._in_trouble = False

    def step(self, consumer: Consumer, stop: threading.Event) -> None:
        """Take what there is, waiting while the store is down.

        Raises
        ------
        Unavailable
            When the broker does not answer, or others have the topic now: what is not committed
            comes again.
        """
        for message in consumer.poll(_POLL_S, _POLL_MESSAGES):
            taken = retrying(partial(self._take, message), stop, "drift event", self._retry_s)
            if not taken:
                return
            consumer.commit({message.partition: message.offset + 1})

    def _take(self, message: Message) -> None:
        """Have the event of a message decided; one that cannot be read is passed over, and told."""
        try:
            event = drift.decode(message.value)
            _require_keepable(event)
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning("drift event cannot be read", offset=message.offset, why=str(error))
            self._metrics.triggers.labels(TriggerKind.DRIFT.value, "unreadable").inc()
            return
        self._triggers.decide(
            Occasion(
                machine_type=event.machine_type,
                kind=TriggerKind.DRIFT,
                slot=event.event_id,
                since_ms=event.at_ms,
                detail=drift.described(event).replace("\0", ""),
            )
        )


def _require_keepable(event: DriftEvent) -> None:
    """Raise ValueError for what no row can have, though it is well formed."""
    if not _MACHINE_TYPE.fullmatch(event.machine_type):
        raise ValueError(f"{event.machine_type!r} is no machine type")
    if not (0 < len(event.event_id) <= _LONGEST_ID and event.event_id.isprintable()):
        raise ValueError(f"its id must be 1 to {_LONGEST_ID} printable characters")
    if not 0 <= event.at_ms <= MAX_TIMESTAMP_MS:
        raise ValueError(f"{event.at_ms} is no time in milliseconds")
