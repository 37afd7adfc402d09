"""Sends to Kafka: acks=all, idempotent, with a bound on what is in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from faultline.adapters.kafka.connection import OPEN_TIMEOUT_MS, REQUEST_TIMEOUT_MS, Connection
from faultline.errors import FaultlineError, Overloaded, Unavailable
from faultline.ports.broker import Headers

_LINGER_MS = 5
_CLOSE_S = 5.0
_DELIVERY_TIMEOUT_MS = 30_000
# The topic's own limit decides (1 MiB unless declared otherwise); this only keeps out nonsense.
_MAX_REQUEST_BYTES = 16 * 1024 * 1024
# What the client keeps per record beside its bytes: futures, the message's frame.
_OVERHEAD_BYTES = 512
# While nothing answers, each attempt costs seconds; the callers that queue up share its outcome.
_FAILURE_HOLDS_S = 1.0


class Delivery:
    """One message on its way; see `faultline.ports.broker.Delivery`."""

    __slots__ = ("_connection", "_future", "_topic", "landed", "refused", "size")

    def __init__(self, connection: Connection, topic: str, size: int) -> None:
        self._connection = connection
        self._topic = topic
        self._future: Any = None
        self.size = size
        # Set after `refused`, which the client's own future knows nothing of.
        self.landed = threading.Event()
        self.refused: KafkaError | None = None

    def follow(self, future: Any) -> None:
        """Take the client's word for the fate of the message."""
        self._future = future

    def wait(self, timeout_s: float) -> None:
        """Return once the broker has it on all replicas in sync.

        Raises
        ------
        Unavailable
            When it has not within `timeout_s`, or failed; it may be sent again.
        FaultlineError
            When it is larger than the topic takes.
        """
        self.landed.wait(timeout_s)
        if self.refused is not None:
            raise FaultlineError(
                f"Kafka at {self._connection.servers} refuses a message of {self.size} bytes, "
                f"which is too large for topic {self._topic}: send less in one message, or raise "
                "max.message.bytes of the topic"
            ) from self.refused
        with self._connection.translated(f"deliver a message of {self._topic} to"):
            self._future.get(0.0)


class Producer:
    """Sends with acks=all, idempotently; connects with the first message.

    Not compressed: gzip, the one codec without a further package, costs more time here than the
    bytes it saves; set ``compression.type`` on the topic to have the broker do it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._capacity = connection.settings.kafka_max_in_flight_bytes
        self._opening = threading.Lock()
        self._kafka: KafkaProducer | None = None
        # A client of kafka-python that sends nothing any more, since one message was refused.
        self._spent: KafkaProducer | None = None
        self._refused: tuple[float, Unavailable] | None = None
        self._closed = False
        self._counting = threading.Lock()
        self._in_flight: dict[int, Delivery] = {}
        self._in_flight_bytes = 0
        self._sent = 0
        self._failure: Delivery | None = None

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        """Hand a message over; see `faultline.ports.broker.Producer.send`.

        Raises
        ------
        FaultlineError
            Also when the message is larger than any topic takes.
        """
        kafka = self._opened()
        size = len(value) + len(key or b"") + _OVERHEAD_BYTES
        size += sum(len(name) + len(content) for name, content in headers)
        number = self._reserve(topic, size)
        delivery = Delivery(self._connection, topic, size)
        try:
            with self._connection.translated(f"send to topic {topic} of"):
                future = kafka.send(
                    topic,
                    key=key,
                    # A tombstone; without a key there is nothing that it would forget.
                    value=None if key and not value else value,
                    headers=list(headers),
                    partition=partition,
                )
        except BaseException as error:
            self._landed(number, delivery, kafka, None)
            if isinstance(error.__cause__, MessageSizeTooLargeError):
                raise FaultlineError(
                    f"a message of {len(value)} bytes is too large for topic {topic}: at most "
                    f"{_MAX_REQUEST_BYTES}; send less in one message"
                ) from error
            raise
        delivery.follow(future)
        with self._counting:
            self._in_flight[number] = delivery
        # They run at once if the future is done already, so the delivery is noted before.
        future.add_callback(partial(self._acknowledged, number, delivery, kafka))
        future.add_errback(partial(self._landed, number, delivery, kafka))
        return delivery

    def flush(self, timeout_s: float) -> None:
        """Return once everything sent before is acknowledged; see the port.

        Raises
        ------
        FaultlineError
            Also when a message was larger than its topic takes.
        """
        deadline = time.monotonic() + timeout_s
        with self._counting:
            waiting = list(self._in_flight.values())
        if waiting and self._kafka is not None:
            with self._connection.translated("flush to"):
                self._kafka.flush(timeout_s)
        try:
            for delivery in waiting:
                delivery.wait(max(0.0, deadline - time.monotonic()))
        finally:
            with self._counting:
                failure, self._failure = self._failure, None
        if failure is not None:
            failure.wait(0.0)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Send what is left, within a few seconds, and let go."""
        with self._opening:
            self._closed = True
            kafka, self._kafka = self._kafka, None
        if kafka is not None:
            _let_go(kafka)

    def _opened(self) -> KafkaProducer:
        kafka = self._kafka
        if kafka is not None and kafka is not self._spent:
            return kafka
        with self._opening:
            if self._closed:
                raise Unavailable("this producer is closed; open another one")
            spent = self._spent
            if spent is self._kafka and spent is not None:
                # First, so that what it has under way comes before what the next one sends.
                _let_go(spent)
                self._kafka = self._spent = None
            if self._kafka is None:
                self._kafka = self._open(time.monotonic)
            return self._kafka

    def _open(self, now: Callable[[], float]) -> KafkaProducer:
        if self._refused is not None and now() - self._refused[0] < _FAILURE_HOLDS_S:
            raise Unavailable(str(self._refused[1]))
        try:
            return self._connection.open(
                KafkaProducer,
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
                # How long `send` may wait for a topic's metadata.
                max_block_ms=OPEN_TIMEOUT_MS,
                max_request_size=_MAX_REQUEST_BYTES,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except Unavailable as error:
            self._refused = (now(), error)
            raise

    def _reserve(self, topic: str, size: int) -> int:
        with self._counting:
            # A message that alone is over the bound would otherwise never get through.
            if self._in_flight_bytes and self._in_flight_bytes + size > self._capacity:
                raise Overloaded(
                    f"{self._in_flight_bytes} bytes wait for Kafka's acknowledgement and {size} "
                    f"more for topic {topic} would be over the bound of {self._capacity}; "
                    "slow down and try again (FAULTLINE_KAFKA_MAX_IN_FLIGHT_BYTES)"
                )
            self._in_flight_bytes += size
            self._sent += 1
            return self._sent

    def _acknowledged(self, number: int, delivery: Delivery, kafka: KafkaProducer, _: Any) -> None:
        self._landed(number, delivery, kafka, None)

    def _landed(
        self, number: int, delivery: Delivery, kafka: KafkaProducer, failure: KafkaError | None
    ) -> None:
        with self._counting:
            self._in_flight.pop(number, None)
            self._in_flight_bytes -= delivery.size
            if failure is not None:
                if self._failure is None:
                    self._failure = delivery
                # When a message expires after it was sent, kafka-python 3.0 drops its id as a
                # producer and never asks for another: that client sends nothing any more.
                expired = isinstance(failure, KafkaTimeoutError)
                if (expired or not failure.retriable) and kafka is not self._spent:
                    # kafka-python gives up an idempotent client with the first message that the
                    # broker refuses, and fails all others with that one's error: only the first
                    # is to blame, the others may be sent again.
                    if isinstance(failure, MessageSizeTooLargeError | RecordListTooLargeError):
                        delivery.refused = failure
                    self._spent = kafka
        delivery.landed.set()


def _let_go(kafka: KafkaProducer) -> None:
    """Close within seconds, also one that cannot send what it has left."""
    try:
        kafka.close(timeout=_CLOSE_S)
    except KafkaError:
        # Raised before anything was closed. Without its sender there is nothing to wait for.
        kafka._sender.force_close()
        kafka.close(timeout=_CLOSE_S)


assert REQUEST_TIMEOUT_MS + _LINGER_MS <= _DELIVERY_TIMEOUT_MS
