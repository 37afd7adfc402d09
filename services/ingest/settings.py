"""Settings of the gateway and of the recorder."""

from __future__ import annotations

from pydantic import Field

from faultline.settings import (
    DatabaseSettings,
    KafkaSettings,
    RetentionSettings,
    ServiceSettings,
    TracingSettings,
)

_MIB = 1024 * 1024


class GatewaySettings(ServiceSettings, TracingSettings, KafkaSettings):
    """Where the gateway listens and what it takes in one request."""

    gateway_port: int = Field(8001, ge=1, le=65535, description="The gateway's HTTP port.")
    gateway_request_bytes: int = Field(
        8 * _MIB, ge=1024, description="Largest body of a request, as it is sent."
    )
    gateway_inflated_bytes: int = Field(
        32 * _MIB, ge=1024, description="Largest body of a request after gzip or zstd is undone."
    )
    gateway_request_values: int = Field(
        1_000_000,
        ge=1024,
        description="Most values in one request, about: each separator and each line counts.",
    )
    gateway_body_s: float = Field(
        60.0,
        gt=0,
        description="Seconds until the body of a request has come; later it is answered 408.",
    )
    gateway_held_bytes: int = Field(
        256 * _MIB,
        ge=1024,
        description="Bodies of all requests under way, as sent, as unpacked and as decoded "
        "(64 bytes a value, and each refusal with its reason) together; more is answered 429, "
        "and 413 what alone is more.",
    )
    gateway_client_readings_per_s: float | None = Field(
        None,
        gt=0,
        description="Readings a second from one client, on average; more is answered 429. No bound "
        "when not set. Each gateway counts by itself.",
    )
    gateway_client_header: str | None = Field(
        None,
        description="Header that tells clients apart for that, and for their Idempotency-Keys; the "
        "address does when not set. One that the proxy sets anew whatever the client sent, such as "
        "X-Real-IP; not X-Forwarded-For where the proxy appends to it, as a client can forge that.",
    )
    gateway_answers_bytes: int = Field(
        16 * _MIB,
        ge=0,
        description="Answers to requests with an Idempotency-Key that are remembered.",
    )
    gateway_answers_s: float = Field(
        600.0, gt=0, description="Seconds that such an answer is remembered, at most."
    )
    gateway_message_readings: int = Field(
        200, ge=1, description="Readings of one machine put into one message, at most."
    )
    gateway_acknowledge_s: float = Field(
        10.0,
        gt=0,
        description="Seconds a request waits for the broker's acknowledgement before it is "
        "answered 503.",
    )


class RecorderSettings(
    ServiceSettings, TracingSettings, KafkaSettings, DatabaseSettings, RetentionSettings
):
    """Where the recorder shows its health and how much it stores at once."""

    recorder_port: int = Field(8003, ge=1, le=65535, description="The recorder's HTTP port.")
    recorder_batch_rows: int = Field(
        20_000, ge=1, description="Readings and verdicts stored in one transaction, about."
    )
    recorder_batch_bytes: int = Field(
        16 * _MIB, ge=1024, description="Bytes of messages stored in one transaction, about."
    )
    recorder_linger_s: float = Field(
        0.1,
        ge=0,
        description="Seconds that a batch waits for more messages before it is stored.",
    )
    recorder_retry_s: float = Field(
        1.0, gt=0, description="Seconds between two attempts while Kafka or PostgreSQL is down."
    )
