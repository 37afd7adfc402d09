"""Settings that the services share, read from the environment when a service asks for them.

Each service extends these in its own ``settings.py``. The table in ``docs/settings.md`` is tested
against the declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from faultline.alarms import AlarmPolicy
from faultline.retention import Retention

CONFIG = SettingsConfigDict(
    env_prefix="FAULTLINE_", env_file=None, extra="ignore", frozen=True, populate_by_name=True
)


class Declared(NamedTuple):
    """A setting as it is declared.

    Attributes
    ----------
    field
        Its name in the class.
    variable
        Of the environment, first where there are several.
    info
        Its default and what it is for.
    """

    field: str
    variable: str
    info: FieldInfo


def declared(settings: type[BaseModel]) -> Iterator[Declared]:
    """The settings of a class, inherited ones first, with the variables they are read from."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    for name, info in settings.model_fields.items():
        alias = info.validation_alias
        variable = alias if isinstance(alias, str) else f"{prefix}{name}".upper()
        yield Declared(name, variable, info)


class ServiceSettings(BaseSettings):
    """Where a service listens and how it logs."""

    model_config = CONFIG

    http_host: str = Field("127.0.0.1", description="Address that the HTTP server binds to.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important level that is logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` writes text on a terminal and JSON elsewhere."
    )


class TracingSettings(BaseSettings):
    """Whether traces are made, and of how much; needs the extra `tracing`."""

    model_config = CONFIG

    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("FAULTLINE_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="OpenTelemetry collector that traces are sent to over HTTP, such as "
        "`http://127.0.0.1:4318`; none are made when it is not set, here or as "
        "OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    trace_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Part of the requests without a `traceparent` of their own that is traced; "
        "with one, whoever sends it decides.",
    )


class KafkaSettings(BaseSettings):
    """How to reach the broker."""

    model_config = CONFIG

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Brokers to begin with: `host:port`, separated by commas."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the connection is secured."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Used when the protocol is one of the SASL ones."
    )
    kafka_username: str | None = Field(None, description="SASL user name.")
    kafka_password: str | None = Field(None, description="SASL password.", repr=False)
    kafka_ssl_cafile: Path | None = Field(
        None, description="Certificate authorities; the system's when not set."
    )
    kafka_client: Literal["auto", "confluent", "kafka-python"] = Field(
        "auto",
        description="Library that speaks with the broker. `confluent`: confluent-kafka, the faster "
        "one, of the extra `confluent`; `kafka-python`; `auto`: the first where it is installed.",
    )
    kafka_replication_factor: int = Field(
        1, ge=1, description="Replicas of each topic that Faultline creates."
    )
    kafka_max_in_flight_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        description="Bytes a producer holds unacknowledged before it refuses more.",
    )
    kafka_group_instance_id: str | None = Field(
        None,
        min_length=1,
        max_length=249,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="A lasting name of this process among its consumer group's members, a "
        "different one for each: one that is back under it within the session time-out takes up "
        "its partitions again and the others notice nothing. All members of a group have one, "
        "or none.",
    )
    kafka_session_timeout_s: float = Field(
        10.0,
        ge=6,
        le=1800,
        description="Silence after which a member of a consumer group is given up and its "
        "partitions go to others; the broker's own bounds are 6 and 1800.",
    )


class DatabaseSettings(BaseSettings):
    """How to reach PostgreSQL."""

    model_config = CONFIG

    database_url: str = Field(
        "postgresql+psycopg2://faultline@127.0.0.1:5432/faultline",
        description="SQLAlchemy URL of the Faultline database.",
        repr=False,
    )


class RetentionSettings(BaseSettings):
    """How long PostgreSQL's rows are kept; the recorder drops them, the trainer says which."""

    model_config = CONFIG

    retention_readings_days: int = Field(
        0,
        ge=0,
        description="Days that readings are kept, whole months at a time: one goes when all of it "
        "is older. 0 keeps them for ever.",
    )
    retention_verdicts_days: int = Field(
        0, ge=0, description="The same for verdicts, by the time of their readings."
    )
    retention_events_days: int = Field(
        0,
        ge=0,
        description="Days that closed alarms (by when they closed) and drift events are kept; 0 "
        "keeps them for ever.",
    )

    def retention(self) -> Retention:
        """The same as one."""
        return Retention(
            readings_days=self.retention_readings_days,
            verdicts_days=self.retention_verdicts_days,
            events_days=self.retention_events_days,
        )


class RegistrySettings(BaseSettings):
    """How to reach MLflow."""

    model_config = CONFIG

    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5001",
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow's tracking and registry server.",
    )
    mlflow_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds after which a request to MLflow is given up that nothing is heard of.",
    )
    mlflow_download_timeout_s: float = Field(
        300.0,
        gt=0,
        description="Seconds after which the download of a version's files is given up, however "
        "much is heard of it.",
    )


class AlarmSettings(BaseSettings):
    """The alarm rule, by which the predictor raises alarms, and the gate and the backtest judge."""

    model_config = CONFIG

    alarm_open_bad: int = Field(
        6, ge=1, description="An alarm opens after so many failures among the last readings."
    )
    alarm_open_window: int = Field(
        10, ge=1, description="How many of the last readings are looked at for that."
    )
    alarm_close_good: int = Field(
        10, ge=1, description="It closes after so many readings in a row that are no failures."
    )
    alarm_update_growth: float = Field(
        1.25, gt=1, description="It is published again when its peak has grown by this factor."
    )

    def alarm_policy(self) -> AlarmPolicy:
        """When alarms open and close; raises `ValueError` when the numbers contradict."""
        return AlarmPolicy(
            open_bad=self.alarm_open_bad,
            open_window=self.alarm_open_window,
            close_good=self.alarm_close_good,
            update_growth=self.alarm_update_growth,
        )
