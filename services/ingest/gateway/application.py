"""Takes readings in, and says so only when the broker has them.

Knows nothing of HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from faultline import readings as codec
from faultline import topics
from faultline.errors import InvalidReading, Unavailable
from faultline.ports.broker import Producer
from faultline.readings import Decoded, Reading, Refusal
from services.ingest.gateway.metrics import GatewayMetrics


class Taken(NamedTuple):
    """What became of a request's readings.

    Attributes
    ----------
    accepted, machines
        How many the broker has acknowledged, and of how many machines they are.
    refusals
        Those that break the wire format, and why.
    """

    accepted: int
    machines: int
    refusals: Sequence[Refusal] = ()


class RefusedReadings(InvalidReading):
    """None of a request's readings was taken, as all, or some of all or nothing, are invalid.

    Attributes
    ----------
    refusals
        Which, and why.
    """

    def __init__(self, refusals: Sequence[Refusal], of: int) -> None:
        super().__init__(
            f"{len(refusals)} of {of} readings break the wire format and none was taken; mend "
            "them and send all again"
        )
        self.refusals = refusals


class Gateway:
    """Readings in, acknowledged messages out.

    Parameters
    ----------
    producer
        Shared by all requests; closed by whoever opened it.
    message_readings
        Readings of one machine in one message, at most.
    acknowledge_s
        Seconds that one call may wait for the broker.
    """

    def __init__(
        self,
        producer: Producer,
        metrics: GatewayMetrics,
        *,
        message_readings: int,
        acknowledge_s: float,
    ) -> None:
        self._producer = producer
        self._metrics = metrics
        self._message_readings = message_readings
        self._acknowledge_s = acknowledge_s

    def take(
        self, body: bytes, decode: Callable[[bytes], Decoded], *, atomic: bool = False
    ) -> Taken:
        """Return once the broker has acknowledged every valid reading of a body.

        Sending the same again is harmless: a reading's identity is its machine and timestamp.

        Parameters
        ----------
        decode
            Takes the body apart.
        atomic
            Take all or none.

        Raises
        ------
        RefusedReadings
            When none is valid, or with `atomic` not all are.
        InvalidReading
            When the body as a whole cannot be read.
        Overloaded
            When too much is under way already. Some may have arrived.
        Unavailable
            When the broker has not acknowledged all of it in time. Some may have arrived.
        """
        decoded = self._counted(body, decode)
        if decoded.refusals and (atomic or not decoded.readings):
            of = len(decoded.readings) + len(decoded.refusals)
            raise RefusedReadings(decoded.refusals, of)
        machines = self._send(decoded.readings)
        return Taken(len(decoded.readings), machines, decoded.refusals)

    def _send(self, readings: Sequence[Reading]) -> int:
        """Send readings and wait for the broker; returns how many machines they are of."""
        deadline = time.monotonic() + self._acknowledge_s
        self._metrics.batch_readings.observe(len(readings))
        machines: set[bytes] = set()
        deliveries = []
        try:
            with self._metrics.acknowledge_seconds.time():
                for key, value in codec.encode_messages(readings, self._message_readings):
                    machines.add(key)
                    deliveries.append(self._producer.send(topics.READINGS.name, key, value))
                for delivery in deliveries:
                    delivery.wait(max(0.0, deadline - time.monotonic()))
        except Unavailable:
            self._metrics.failed.inc(len(readings))
            raise
        self._metrics.accepted.inc(len(readings))
        return len(machines)

    def _counted(self, body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
        try:
            decoded = decode(body)
        except InvalidReading as error:
            self._metrics.refused.labels(codec.field_of(str(error))).inc()
            raise
        for refusal in decoded.refusals:
            self._metrics.refused.labels(codec.field_of(refusal.reason)).inc()
        return decoded
