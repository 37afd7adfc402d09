"""Settings of the MQTT bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from faultline.readings import DEFAULT_MACHINE_TYPE
from faultline.settings import KafkaSettings, ServiceSettings
from services.ingest.bridge.alignment import Grid
from services.ingest.bridge.subscriptions import Subscription

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MIB = 1024 * 1024


class GridSettings(BaseModel):
    """How rows are made of single values, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period_s: float = Field(1.0, ge=0.001)
    max_age_s: float = Field(60.0, ge=0)
    lateness_s: float = Field(0.5, ge=0)

    def grid(self) -> Grid:
        """The same in milliseconds."""
        return Grid(
            period_ms=round(self.period_s * 1000),
            max_age_ms=round(self.max_age_s * 1000),
            lateness_ms=round(self.lateness_s * 1000),
        )


class BridgeSettings(ServiceSettings, KafkaSettings):
    """Which MQTT broker, what of it, and how single values become rows."""

    bridge_port: int = Field(8004, ge=1, le=65535, description="The bridge's HTTP port.")
    mqtt_url: str = Field(
        "mqtt://127.0.0.1:1883",
        description="The MQTT broker: `mqtt://host:port`, or `mqtts://` for TLS; the ports may be "
        "left out.",
    )
    mqtt_username: str | None = Field(None, description="User name at the MQTT broker.")
    mqtt_password: str | None = Field(None, description="Password at the MQTT broker.", repr=False)
    mqtt_client_id: str = Field(
        "faultline-bridge",
        min_length=1,
        max_length=128,
        description="The bridge's lasting name at the broker, which keeps its session under it, "
        "and in Kafka. A second bridge needs another one and other topics.",
    )
    mqtt_protocol: Literal["3.1.1", "5"] = Field("5", description="Version of MQTT.")
    mqtt_ca_file: Path | None = Field(
        None, description="Certificate authorities for `mqtts://`; the system's when not set."
    )
    mqtt_cert_file: Path | None = Field(
        None, description="The bridge's own certificate, where the broker asks for one."
    )
    mqtt_key_file: Path | None = Field(None, description="The key of that certificate.")
    mqtt_qos: Literal[0, 1] = Field(
        1,
        description="With 1 the broker keeps a message until Kafka has it; with 0 it may be lost.",
    )
    mqtt_session_expiry_s: int = Field(
        7 * 24 * 3600,
        ge=0,
        lt=2**32,
        description="How long the broker keeps messages for a bridge that is away; 0: not at all. "
        "With MQTT 3.1.1 anything but 0 leaves the time to the broker.",
    )
    mqtt_keepalive_s: int = Field(
        30, ge=5, le=65535, description="Silence after which the connection is given up, about."
    )
    mqtt_in_flight: int = Field(
        2_000,
        ge=1,
        le=65535,
        description="Messages taken and not yet acknowledged, at most. MQTT 5 tells the broker; "
        "with 3.1.1 the broker has a bound of its own, and the bridge stops reading at this one.",
    )
    mqtt_in_flight_bytes: int = Field(
        64 * _MIB,
        ge=1024,
        lt=2**32,
        description="The same in bytes, about; then the bridge stops reading. MQTT 5 tells the "
        "broker to send nothing that is larger by itself.",
    )
    mqtt_subscriptions: tuple[Subscription, ...] = Field(
        (),
        description='What to subscribe to, in JSON: `[{"topic": "plant/+/{machine}/{sensor}", '
        '"machine_type": "pump"}, {"topic": "factory/{machine}/json"}]`; see '
        "[mqtt.md](mqtt.md). The bridge needs at least one.",
    )
    mqtt_grids: dict[str, GridSettings] = Field(
        {},
        description='Rows made of single values, by machine type, in JSON: `{"pump": '
        '{"period_s": 1, "max_age_s": 60, "lateness_s": 0.5}}`, which are the defaults; '
        "`default` is for types not named.",
    )
    mqtt_machines: int = Field(
        20_000,
        ge=1,
        description="Machines whose single values are brought into rows, at most; values of "
        "further ones are refused. One of ten sensors takes about 3 kB.",
    )
    bridge_retry_s: float = Field(
        1.0, gt=0, description="Seconds between two attempts while Kafka is down."
    )

    @field_validator("mqtt_url")
    @classmethod
    def _a_broker(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("must be mqtt://host:port or mqtts://host:port")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user: use FAULTLINE_MQTT_USERNAME and …_PASSWORD")
        _ = parts.port  # Raises when it is no port.
        return url

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.mqtt_key_file is not None and self.mqtt_cert_file is None:
            raise ValueError("FAULTLINE_MQTT_KEY_FILE is set without FAULTLINE_MQTT_CERT_FILE")
        return self

    @property
    def mqtt_tls(self) -> bool:
        """Whether the connection is secured."""
        return urlsplit(self.mqtt_url).scheme == "mqtts"

    @property
    def mqtt_address(self) -> tuple[str, int]:
        """Host and port of the broker."""
        parts = urlsplit(self.mqtt_url)
        assert parts.hostname is not None
        return parts.hostname, parts.port or _PORTS[parts.scheme]

    def grids(self) -> dict[str, Grid]:
        """The grids by machine type, `default` among them."""
        named = {name: each.grid() for name, each in self.mqtt_grids.items()}
        return {DEFAULT_MACHINE_TYPE: GridSettings().grid(), **named}
