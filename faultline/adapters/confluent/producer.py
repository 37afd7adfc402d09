"""Sends to Kafka: acks=all, idempotent, with a bound on what is in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as Raw
from confluent_kafka import Producer as Client

from faultline.adapters.confluent.connection import OPEN_TIMEOUT_S, Connection
from faultline.errors import FaultlineError, Overloaded, Unavailable
from faultline.ports.broker import Headers

_LINGER_MS = 5
_CLOSE_S = 5.0
_TURN_S = 0.1
_DELIVERY_TIMEOUT_MS = 30_000
# The topic's own limit decides (1 MiB unless declared otherwise); this only keeps out nonsense.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# Far below any topic's limit: what the broker refuses for its size then is a single message.
_BATCH_BYTES = 256 * 1024
# What the client keeps per record beside its bytes: the message's frame, its delivery.
_OVERHEAD_BYTES = 512
# While nothing answers, each attempt costs seconds; the callers that queue up share its outcome.
_FAILURE_HOLDS_S = 1.0
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


class Delivery:
    """One message on its way; see `faultline.ports.broker.Delivery`."""

    __slots__ = ("_connection", "_error", "_lock", "_topic", "_waited", "landed", "size")

    def __init__(self, connection: Connection, lock: threading.Lock, topic: str, size: int) -> None:
        self._connection = connection
        self._lock = lock
        self._topic = topic
        self._error: KafkaError | None = None
        # Made by who waits: most deliveries are waited for by a flush, when they have landed.
        self._waited: threading.Event | None = None
        self.landed = False
        self.size = size

    def land(self, error: KafkaError | None) -> None:
        """Take librdkafka's word for the fate of the message; with the lock held."""
        self._error = error
        self.landed = True
        if self._waited is not None:
            self._waited.set()

    def wait(self, timeout_s: float) -> None:
        """Return once the broker has it on all replicas in sync.

        Raises
        ------
        Unavailable
            When it has not within `timeout_s`, or failed; it may be sent again.
        FaultlineError
            When it is larger than the topic takes.
        """
        self._await(timeout_s)
        doing = f"deliver a message of {self._topic} to"
        if not self.landed:
            raise self._connection.unavailable(doing, KafkaError(KafkaError._TIMED_OUT))
        if self._error is None:
            return
        if self._error.code() in _TOO_LARGE:
            raise FaultlineError(
                f"Kafka at {self._connection.servers} refuses a message of {self.size} bytes, "
                f"which is too large for topic {self._topic}: send less in one message, or raise "
                "max.message.bytes of the topic"
            ) from KafkaException(self._error)
        raise self._connection.unavailable(doing, self._error) from KafkaException(self._error)

    def _await(self, timeout_s: float) -> None:
        with self._lock:
            if self.landed:
                return
            if self._waited is None:
                self._waited = threading.Event()
        self._waited.wait(timeout_s)


class Producer:
    """Sends with acks=all, idempotently; connects with the first message.

    Not compressed, as the other client's producer; set ``compression.type`` on the topic to have
    the broker do it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._capacity = connection.settings.kafka_max_in_flight_bytes
        self._opening = threading.Lock()
        self._client: Client | None = None
        # A client that sends nothing any more: librdkafka has called its error fatal.
        self._spent: Client | None = None
        self._known: set[str] = set()
        self._refused: tuple[float, Unavailable] | None = None
        self._closed = False
        self._ended = threading.Event()
        self._polling: threading.Thread | None = None
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
        client = self._opened()
        if topic not in self._known:
            self._require(client, topic)
        size = len(value) + len(key or b"") + _OVERHEAD_BYTES
        size += sum(len(name) + len(content) for name, content in headers)
        delivery = Delivery(self._connection, self._counting, topic, size)
        number = self._reserve(delivery, topic)

        def landed(error: KafkaError | None, _: Raw) -> None:
            self._landed(number, delivery, client, error)

        try:
            client.produce(
                topic,
                # A tombstone; without a key there is nothing that it would forget.
                None if key and not value else value,
                key,
                -1 if partition is None else partition,
                on_delivery=landed,
                headers=list(headers),
            )
        except BufferError as error:
            self._landed(number, delivery, client, None)
            raise Overloaded(
                f"librdkafka's queue is full at {self._in_flight_bytes} bytes; "
                "slow down and try again"
            ) from error
        except KafkaException as error:
            self._landed(number, delivery, client, None)
            reason: KafkaError = error.args[0]
            if reason.code() in _TOO_LARGE:
                raise FaultlineError(
                    f"a message of {len(value)} bytes is too large for topic {topic}: at most "
                    f"{_MAX_MESSAGE_BYTES}; send less in one message"
                ) from error
            if reason.fatal() or reason.code() == KafkaError._FATAL:
                self._spent = client
            raise self._connection.unavailable(f"send to topic {topic} of", reason) from error
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
        client = self._client
        if waiting and client is not None:
            # Nothing lingers meanwhile.
            client.flush(timeout_s)
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
            self._let_go()

    def _opened(self) -> Client:
        client = self._client
        if client is not None and client is not self._spent:
            return client
        with self._opening:
            if self._closed:
                raise Unavailable("this producer is closed; open another one")
            if self._client is not None and self._client is self._spent:
                # First, so that what it has under way comes before what the next one sends.
                self._let_go()
                self._spent = None
            if self._client is None:
                self._client = self._open(time.monotonic)
            return self._client

    def _open(self, now: Callable[[], float]) -> Client:
        if self._refused is not None and now() - self._refused[0] < _FAILURE_HOLDS_S:
            raise Unavailable(str(self._refused[1]))
        client = Client(
            self._connection.config(
                acks="all",
                enable_idempotence=True,
                # As Java's client and kafka-python: a key has one partition, whoever sends.
                partitioner="murmur2_random",
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                message_timeout_ms=_DELIVERY_TIMEOUT_MS,
                message_max_bytes=_MAX_MESSAGE_BYTES,
                # What is in flight is bounded by us, to the byte.
                queue_buffering_max_messages=0,
                queue_buffering_max_kbytes=2 * max(self._capacity, _MAX_MESSAGE_BYTES) // 1024,
            )
        )
        try:
            self._known = set(self._connection.topics(client))
        except Unavailable as error:
            client.close()
            self._refused = (now(), error)
            raise
        self._ended.clear()
        self._polling = threading.Thread(
            target=self._poll, args=(client,), name="kafka-deliveries", daemon=True
        )
        self._polling.start()
        return client

    def _require(self, client: Client, topic: str) -> None:
        # librdkafka would wait for half a minute whether somebody creates it.
        self._known = set(self._connection.topics(client, OPEN_TIMEOUT_S))
        if topic not in self._known:
            raise Unavailable(
                f"Kafka at {self._connection.servers} has no topic {topic}; "
                "create the topics first (faultline topics)"
            )

    def _poll(self, client: Client) -> None:
        """Bring deliveries home; librdkafka tells of them only who asks."""
        while not self._ended.is_set():
            client.poll(_TURN_S)

    def _let_go(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.flush(_CLOSE_S)
        # What is left has failed, and whoever waits for it hears so.
        client.purge()
        client.flush(_CLOSE_S)
        self._ended.set()
        if self._polling is not None:
            self._polling.join()
        client.close()

    def _reserve(self, delivery: Delivery, topic: str) -> int:
        size = delivery.size
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
            self._in_flight[self._sent] = delivery
            return self._sent

    def _landed(
        self, number: int, delivery: Delivery, client: Client, error: KafkaError | None
    ) -> None:
        with self._counting:
            self._in_flight.pop(number, None)
            self._in_flight_bytes -= delivery.size
            if error is not None:
                if self._failure is None:
                    self._failure = delivery
                if error.fatal() or error.code() == KafkaError._FATAL:
                    self._spent = client
            delivery.land(error)
