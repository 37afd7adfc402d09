"""How a client of librdkafka is configured, and how its errors read.

Knows nothing of what is sent or consumed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from faultline.errors import Unavailable
from faultline.settings import KafkaSettings

_LOG = logging.getLogger("faultline.librdkafka")

# A caller that is told "unavailable" waits and tries again, so an attempt need not last long.
OPEN_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_S = 10.0
# Connections come and go in normal life; this long without any is an outage.
_SILENCE_S = 3.0
_PROBE_S = 1.0


def worth_a_line(record: logging.LogRecord) -> bool:
    """Whether what librdkafka logs is more than one failed attempt to connect, of many.

    Our own `Unavailable` says the same, once.
    """
    facility = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return facility != "FAIL"


_LOG.addFilter(worth_a_line)


class _Client(Protocol):
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any: ...


class Connection:
    """The way to one cluster: addresses, security, timeouts.

    Parameters
    ----------
    settings
        Where the brokers are and how the connection is secured.
    client_id
        Named in the broker's logs and quotas.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self.settings = settings
        self.servers = settings.kafka_bootstrap_servers
        self.client_id = client_id
        self._config: dict[str, Any] = {
            "bootstrap.servers": self.servers,
            "client.id": client_id,
            "security.protocol": settings.kafka_security_protocol,
            "socket.timeout.ms": round(REQUEST_TIMEOUT_S * 1000),
            "socket.connection.setup.timeout.ms": round(REQUEST_TIMEOUT_S * 1000),
            # A broker that is back is found again within a second, not within ten.
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
            "log.connection.close": False,
            "logger": _LOG,
        }
        if settings.kafka_security_protocol.startswith("SASL"):
            self._config["sasl.mechanisms"] = settings.kafka_sasl_mechanism
            self._config["sasl.username"] = settings.kafka_username or ""
            self._config["sasl.password"] = settings.kafka_password or ""
        if settings.kafka_ssl_cafile is not None:
            self._config["ssl.ca.location"] = str(settings.kafka_ssl_cafile)

    def config(
        self, on_error: Callable[[KafkaError], None] | None = None, **more: Any
    ) -> dict[str, Any]:
        """The configuration of a client; an underscore in a name stands for a dot."""
        config = {**self._config, **{name.replace("_", "."): more[name] for name in more}}
        return config if on_error is None else {**config, "error_cb": on_error}

    def topics(self, client: _Client, timeout_s: float = OPEN_TIMEOUT_S) -> Mapping[str, int]:
        """The cluster's topics and how many partitions each has; asks the broker.

        Raises
        ------
        Unavailable
            When none answers in time.
        """
        with self.translated("connect to"):
            found = client.list_topics(timeout=timeout_s)
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn librdkafka's errors into `Unavailable`: "cannot <doing> Kafka at ...: why"."""
        try:
            yield
        except KafkaException as error:
            raise self.unavailable(doing, error.args[0]) from error

    def unavailable(self, doing: str, error: KafkaError) -> Unavailable:
        """The error to raise for one of librdkafka's."""
        return Unavailable(
            f"cannot {doing} Kafka at {self.servers}: {error.str()}; {_advice(error)}"
        )


class Reachability:
    """Tells an idle topic from a broker that is gone: librdkafka's poll is silent on both."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._down_at_s: float | None = None
        self._why = ""

    def note(self, error: KafkaError) -> None:
        """Take note of what librdkafka says of its connections; its ``error_cb``."""
        self._why = error.str()
        if self._down_at_s is None and error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down_at_s = time.monotonic()

    def seen(self) -> None:
        """Note that the broker answered."""
        self._down_at_s = None

    def check(self, client: _Client) -> None:
        """Raise `Unavailable` when there has been no connection for a while."""
        if self._down_at_s is None or time.monotonic() - self._down_at_s < _SILENCE_S:
            return
        try:
            self._connection.topics(client, _PROBE_S)
        except Unavailable as error:
            raise Unavailable(
                f"Kafka at {self._connection.servers} does not answer ({self._why}); "
                "consuming goes on when it is back"
            ) from error
        self.seen()


def _advice(error: KafkaError) -> str:
    match error.code():
        case KafkaError.MSG_SIZE_TOO_LARGE | KafkaError.RECORD_LIST_TOO_LARGE:
            return "raise max.message.bytes of the topic"
        case (
            KafkaError.TOPIC_AUTHORIZATION_FAILED
            | KafkaError.GROUP_AUTHORIZATION_FAILED
            | KafkaError.CLUSTER_AUTHORIZATION_FAILED
            | KafkaError.SASL_AUTHENTICATION_FAILED
            | KafkaError._AUTHENTICATION
        ):
            return "see FAULTLINE_KAFKA_USERNAME and what the broker allows that user"
        case KafkaError.FENCED_INSTANCE_ID:
            return "another process joined with the same FAULTLINE_KAFKA_GROUP_INSTANCE_ID"
    # Of a broker that lets nobody in librdkafka says the same as of one that is down.
    return (
        "see whether the broker runs, whether FAULTLINE_KAFKA_BOOTSTRAP_SERVERS names it, and "
        "whether the log-in is the one it wants: FAULTLINE_KAFKA_SECURITY_PROTOCOL, "
        "FAULTLINE_KAFKA_USERNAME, FAULTLINE_KAFKA_PASSWORD"
    )
