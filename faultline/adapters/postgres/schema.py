"""Every table, declared once. The migrations make exactly these; a test compares them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from faultline.adapters.postgres.columns import Document, EpochMs
from faultline.alarms import Alarm
from faultline.comparisons import Side
from faultline.drift import Finding
from faultline.gate_report import GateReport
from faultline.ports.jobs import TrainingRequest
from faultline.verdicts import SensorContribution

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BY_MONTH = ("readings", "verdicts")
"""Tables partitioned by the month of their timestamp; retention drops whole months."""

# `machine_type` is that of the last reading; `machine_types` every one its readings have named,
# so that the history of a type is found without looking at the readings of all machines.
machines = Table(
    "machines",
    METADATA,
    Column("machine_id", Text, primary_key=True),
    Column("machine_type", Text, nullable=False),
    Column("machine_types", ARRAY(Text), nullable=False),
    Column("first_seen", EpochMs, nullable=False),
    Column("last_seen", EpochMs, nullable=False),
    Column("readings", BigInteger, nullable=False),
)

readings = Table(
    "readings",
    METADATA,
    Column("machine_id", Text, primary_key=True),
    Column("timestamp", EpochMs, primary_key=True),
    Column("machine_type", Text, nullable=False),
    Column("sensors", Document(dict[str, float | None]), nullable=False),
    postgresql_partition_by="RANGE (timestamp)",
)

verdicts = Table(
    "verdicts",
    METADATA,
    Column("machine_id", Text, primary_key=True),
    Column("timestamp", EpochMs, primary_key=True),
    Column("machine_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("score", Double),
    Column("cluster", Integer),
    Column("known", Boolean, nullable=False),
    Column("reason", Text),
    Column("contributions", Document(tuple[SensorContribution, ...])),
    Column("health", Document(dict[str, str])),
    Column("model_name", Text),
    Column("model_version", Text),
    postgresql_partition_by="RANGE (timestamp)",
)

alarms = Table(
    "alarms",
    METADATA,
    Column("alarm_id", Text, primary_key=True),
    Column("machine_id", Text, nullable=False),
    Column("machine_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("began_at", EpochMs, nullable=False),
    Column("opened_at", EpochMs, nullable=False),
    Column("updated_at", EpochMs, nullable=False),
    Column("closed_at", EpochMs),
    Column("peak_score", Double, nullable=False),
    Column("peak_at", EpochMs, nullable=False),
    Column("top_sensors", Document(tuple[SensorContribution, ...]), nullable=False),
    Column("why", Text, nullable=False, server_default=text("''")),
    Column("bad_readings", BigInteger, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Index(None, "machine_id", "opened_at"),
    Index(None, "opened_at"),
    Index("ix_alarms_open", "machine_id", "opened_at", postgresql_where=text("state = 'open'")),
)

alarm_events = Table(
    "alarm_events",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("alarm_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", EpochMs, nullable=False),
    Column("alarm", Document(Alarm), nullable=False),
    Index(None, "alarm_id", "at"),
)

labels = Table(
    "labels",
    METADATA,
    Column("machine_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("start", EpochMs, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("end", EpochMs),
    Column("sensors", ARRAY(Text), nullable=False),
    Column("severity", Double, nullable=False),
)

# `position` orders jobs that were submitted within one millisecond. `readings_then` is how many
# readings of the type there were when the training ended; those that have come since are new.
training_jobs = Table(
    "training_jobs",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("machine_type", Text, nullable=False),
    Column("request", Document(TrainingRequest), nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", EpochMs, nullable=False),
    Column("updated_at", EpochMs, nullable=False),
    Column("progress", Text, nullable=False, server_default=text("''")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("committed", Boolean, nullable=False, server_default=text("false")),
    Column("worker", Text),
    Column("lease_until", EpochMs),
    Column("error", Text),
    Column("model_name", Text),
    Column("model_version", Text),
    Column("run_id", Text),
    Column("promoted", Boolean),
    Column("decision", Text),
    Column("unchanged", Boolean),
    Column("idempotency_key", Text),
    Column("readings_then", BigInteger),
    Index(None, "position", unique=True),
    Index(
        "ix_training_jobs_idempotency_key",
        "idempotency_key",
        unique=True,
        postgresql_where=text("state NOT IN ('failed', 'cancelled')"),
    ),
    Index(
        "ix_training_jobs_unfinished",
        "position",
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
)

# One row for an occasion, whoever sees it: of two trainers one starts a training.
training_triggers = Table(
    "training_triggers",
    METADATA,
    Column("machine_type", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("slot", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("since", EpochMs, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", EpochMs, nullable=False),
    Column("job_id", Text),
    Column("suppressed", Text),
    Index(None, "machine_type", "at"),
    Index(None, "at"),
)

# Since when which schedule holds: what was due before is not made up for.
training_schedules = Table(
    "training_schedules",
    METADATA,
    Column("machine_type", Text, primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("since", EpochMs, nullable=False),
)

promotions = Table(
    "promotions",
    METADATA,
    Column("promotion_id", Text, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("to_version", Text),
    Column("from_version", Text),
    Column("at", EpochMs, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default=text("'promotion'")),
    Column("forced", Boolean, nullable=False, server_default=text("false")),
    Column("gate", Text),
    Column("gate_reason", Text),
    Column("state", Text, nullable=False, server_default=text("'done'")),
    Column("announced", Boolean, nullable=False, server_default=text("true")),
    Index(None, "model_name", "at", "position"),
    Index(
        "ix_promotions_begun",
        "model_name",
        unique=True,
        postgresql_where=text("state = 'begun'"),
    ),
    Index("ix_promotions_unannounced", "position", postgresql_where=text("NOT announced")),
)

# Counts only grow: of a counter the row with the most readings stays.
comparisons = Table(
    "comparisons",
    METADATA,
    Column("model_name", Text, primary_key=True),
    Column("champion_version", Text, primary_key=True),
    Column("challenger_version", Text, primary_key=True),
    Column("counter_id", Text, primary_key=True),
    Column("since", EpochMs, nullable=False),
    Column("until", EpochMs, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("agreed", BigInteger, nullable=False),
    Column("champion", Document(Side), nullable=False),
    Column("challenger", Document(Side), nullable=False),
    # Of the bundles; empty in rows from before they were kept. A counter is of one pair.
    Column("champion_sha256", Text, nullable=False, server_default=""),
    Column("challenger_sha256", Text, nullable=False, server_default=""),
)

drift_events = Table(
    "drift_events",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("machine_type", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("at", EpochMs, nullable=False),
    Column("findings", Document(tuple[Finding, ...]), nullable=False),
    Column("since", EpochMs, nullable=False),
    Column("until", EpochMs, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("machines", BigInteger, nullable=False),
    Index(None, "machine_type", "at"),
    Index(None, "at"),
)

# One row per replica and machine type, replaced at every look; see `faultline.drift.DriftPart`.
drift_parts = Table(
    "drift_parts",
    METADATA,
    Column("machine_type", Text, primary_key=True),
    Column("replica", Text, primary_key=True),
    Column("bundle_sha256", Text, nullable=False),
    Column("at", EpochMs, nullable=False),
    Column("since", EpochMs, nullable=False),
    Column("until", EpochMs, nullable=False),
    Column("machines", BigInteger, nullable=False),
    Column("counts", LargeBinary, nullable=False),
)

# Without a version until it is registered: the decision is written down before.
gate_decisions = Table(
    "gate_decisions",
    METADATA,
    Column("decision_id", Text, primary_key=True),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text),
    Column("job_id", Text, nullable=False),
    Column("at", EpochMs, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("report", Document(GateReport), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'told'")),
    Index(None, "model_name", "model_version"),
    Index("ix_gate_decisions_untold", "at", postgresql_where=text("state <> 'told'")),
)

stream_offsets = Table(
    "stream_offsets",
    METADATA,
    Column("consumer_group", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
