"""How a client of Kafka is configured, opened without leaks, and how its errors read.

Knows nothing of what is sent or consumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
)
from kafka.net.compat import KafkaNetClient

from faultline.errors import Unavailable
from faultline.settings import KafkaSettings

try:
    import crc32c  # noqa: F401 - kafka-python finds it by itself
except ImportError as error:
    raise ImportError(
        "the package crc32c is missing: without it kafka-python computes checksums in pure Python "
        "and Faultline consumes ten times slower. Install it: pip install crc32c"
    ) from error

Client = TypeVar("Client")

# A caller that is told "unavailable" waits and tries again, so an attempt need not last long.
OPEN_TIMEOUT_MS = 3_000
REQUEST_TIMEOUT_MS = 10_000


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
        self._config: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",")],
            "client_id": client_id,
            "security_protocol": settings.kafka_security_protocol,
            "bootstrap_timeout_ms": OPEN_TIMEOUT_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            # A broker that is back is found again within a second, not within half a minute.
            "reconnect_backoff_max_ms": 1_000,
        }
        if settings.kafka_security_protocol.startswith("SASL"):
            self._config["sasl_mechanism"] = settings.kafka_sasl_mechanism
            self._config["sasl_plain_username"] = settings.kafka_username
            self._config["sasl_plain_password"] = settings.kafka_password
        if settings.kafka_ssl_cafile is not None:
            self._config["ssl_cafile"] = str(settings.kafka_ssl_cafile)

    def open(self, kind: Callable[..., Client], **config: Any) -> Client:
        """Build a client of kafka-python, which connects while it is being built.

        Raises
        ------
        Unavailable
            When no broker answers in time.
        """
        begun: list[KafkaNetClient] = []

        def net_client(**given: Any) -> KafkaNetClient:
            begun.append(KafkaNetClient(**given))
            return begun[-1]

        try:
            with self.translated("connect to"):
                return kind(**self._config, **config, kafka_client=net_client)
        except BaseException:
            # A client that could not be built leaves its thread and sockets behind.
            for client in begun:
                client.close()
            raise

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn kafka-python's errors into `Unavailable`: "cannot <doing> Kafka at ...: why"."""
        try:
            yield
        except KafkaError as error:
            raise Unavailable(
                f"cannot {doing} Kafka at {self.servers}: {_told(error)}; {_advice(error)}"
            ) from error


def _advice(error: KafkaError) -> str:
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return "raise max.message.bytes of the topic"
    if isinstance(error, AuthorizationError | SaslAuthenticationFailedError):
        return "see FAULTLINE_KAFKA_USERNAME and what the broker allows that user"
    if isinstance(error, FencedInstanceIdError):
        return "another process joined with the same FAULTLINE_KAFKA_GROUP_INSTANCE_ID"
    # kafka-python says the same of a broker that is down and of one that lets nobody in.
    return (
        "see whether the broker runs, whether FAULTLINE_KAFKA_BOOTSTRAP_SERVERS names it, and "
        "whether the log-in is the one it wants: FAULTLINE_KAFKA_SECURITY_PROTOCOL, "
        "FAULTLINE_KAFKA_USERNAME, FAULTLINE_KAFKA_PASSWORD"
    )


def _told(error: KafkaError) -> str:
    text = str(error)
    return text if len(text) <= 300 else f"{text[:300]}…"
