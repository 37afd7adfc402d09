"""Takes readings in: all of a request or none, and none before the broker has them.

Knows nothing of HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from faultline import readings as codec
from faultline import topics
from faultline.errors import InvalidReading, Unavailable
from faultline.ports.broker import Producer
from faultline.readings import Decoded, Reading, Refusal
from services.ingest.gateway.metrics import GatewayMetrics

# Below the 1 MiB that a topic takes in one batch, headers and framing included.
_MESSAGE_BYTES = 900_000


class Accepted(NamedTuple):
    """What was taken in."""

    accepted: int
    machines: int


class RefusedReadings(InvalidReading):
    """Some readings of a request break the wire format, so none was taken.

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

    def take_json(self, body: bytes) -> Accepted:
        """Take one reading or an array of them; see `take`."""
        return self._take_decoded(self._counted(body, lines=False))

    def take_lines(self, body: bytes) -> Accepted:
        """Take one reading on each line; see `take`."""
        return self._take_decoded(self._counted(body, lines=True))

    def take(self, readings: Sequence[Reading]) -> Accepted:
        """Return once the broker has acknowledged every reading.

        Sending the same again is harmless: a reading's identity is its machine and timestamp.

        Raises
        ------
        Overloaded
            When too much is under way already.
        Unavailable
            When the broker has not acknowledged all of it in time. Some may have arrived.
        """
        deadline = time.monotonic() + self._acknowledge_s
        self._metrics.batch_readings.observe(len(readings))
        machines: set[bytes] = set()
        deliveries = []
        try:
            with self._metrics.acknowledge_seconds.time():
                for key, value in codec.encode_messages(
                    readings, self._message_readings, _MESSAGE_BYTES
                ):
                    machines.add(key)
                    deliveries.append(self._producer.send(topics.READINGS.name, key, value))
                for delivery in deliveries:
                    delivery.wait(max(0.0, deadline - time.monotonic()))
        except Unavailable:
            self._metrics.failed.inc(len(readings))
            raise
        self._metrics.accepted.inc(len(readings))
        return Accepted(len(readings), len(machines))

    def _counted(self, body: bytes, *, lines: bool) -> Decoded:
        try:
            decoded = codec.decode_lines(body) if lines else codec.decode(body)
        except InvalidReading as error:
            self._metrics.refused.labels(codec.field_of(str(error))).inc()
            raise
        for refusal in decoded.refusals:
            self._metrics.refused.labels(codec.field_of(refusal.reason)).inc()
        return decoded

    def _take_decoded(self, decoded: Decoded) -> Accepted:
        if decoded.refusals:
            of = len(decoded.readings) + len(decoded.refusals)
            raise RefusedReadings(decoded.refusals, of)
        return self.take(decoded.readings)
