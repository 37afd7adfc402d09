"""The bridge's loop: take what came, deal with it, acknowledge."""

from __future__ import annotations

import threading
from collections.abc import Callable

from faultline.ports.broker import Broker
from faultline.ports.clock import Clock
from faultline.service import retrying
from faultline.telemetry import logger
from services.ingest.bridge.application import Bridge
from services.ingest.bridge.intake import Inlet, Intake
from services.ingest.bridge.metrics import BridgeMetrics

log = logger(__name__)
# How late a row may be made for want of messages.
_IDLE_S = 0.1


class BridgeStream:
    """Runs a bridge between an MQTT client and Kafka.

    Parameters
    ----------
    retry_s
        Seconds between two attempts while Kafka is down.
    """

    def __init__(
        self,
        broker: Broker,
        bridge: Bridge,
        inlet: Inlet,
        intake: Intake,
        *,
        clock: Clock,
        metrics: BridgeMetrics,
        retry_s: float,
    ) -> None:
        self._broker = broker
        self._bridge = bridge
        self._inlet = inlet
        self._intake = intake
        self._clock = clock
        self._retry_s = retry_s
        self._started = False
        metrics.in_flight.set_function(lambda: len(intake))

    def check(self) -> str | None:
        """None, or why it does not work yet."""
        return None if self._started else "has not read its state from Kafka yet"

    def run(self, stop: threading.Event) -> None:
        """Bridge until told to stop. What is not acknowledged then comes again."""

        def until_done(step: Callable[[], None]) -> bool:
            return retrying(step, stop, "deliver", self._retry_s)

        def restore() -> None:
            self._bridge.restore(self._broker, self._clock.now_ms())

        if not retrying(restore, stop, "restore", self._retry_s):
            return
        self._inlet.open()
        self._started = True
        try:
            while not stop.is_set():
                arrivals = self._intake.take(_IDLE_S)
                if not self._bridge.deal(arrivals, self._clock.now_ms(), until_done):
                    break
                self._inlet.acknowledge(arrivals)
                self._intake.release(arrivals)
        finally:
            self._intake.close()
            self._inlet.close()
