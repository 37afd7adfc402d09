"""The first tables: machines, readings, verdicts, alarms, labels, jobs, promotions, offsets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_MOMENT = postgresql.TIMESTAMP(timezone=True, precision=3)


def upgrade() -> None:
    op.create_table(
        "alarm_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("alarm", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_alarm_events")),
    )
    op.create_index(op.f("ix_alarm_events_alarm_id_at"), "alarm_events", ["alarm_id", "at"])
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("machine_id", sa.Text(), nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.Column("peak_score", sa.Double(), nullable=False),
        sa.Column("peak_at", _MOMENT, nullable=False),
        sa.Column("top_sensors", postgresql.JSONB(), nullable=False),
        sa.Column("bad_readings", sa.BigInteger(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_alarms")),
    )
    op.create_index(op.f("ix_alarms_machine_id_opened_at"), "alarms", ["machine_id", "opened_at"])
    op.create_index(
        "ix_alarms_open",
        "alarms",
        ["machine_id", "opened_at"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(op.f("ix_alarms_opened_at"), "alarms", ["opened_at"])
    op.create_table(
        "labels",
        sa.Column("machine_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start", _MOMENT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("end", _MOMENT, nullable=True),
        sa.Column("sensors", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("severity", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("machine_id", "kind", "start", "source", name=op.f("pk_labels")),
    )
    op.create_table(
        "machines",
        sa.Column("machine_id", sa.Text(), nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("machine_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("first_seen", _MOMENT, nullable=False),
        sa.Column("last_seen", _MOMENT, nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("pk_machines")),
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("to_version", sa.Text(), nullable=False),
        sa.Column("from_version", sa.Text(), nullable=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("promotion_id", name=op.f("pk_promotions")),
    )
    op.create_index(
        op.f("ix_promotions_model_name_at_position"), "promotions", ["model_name", "at", "position"]
    )
    op.create_table(
        "readings",
        sa.Column("machine_id", sa.Text(), nullable=False),
        sa.Column("timestamp", _MOMENT, nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("sensors", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("machine_id", "timestamp", name=op.f("pk_readings")),
        postgresql_partition_by="RANGE (timestamp)",
    )
    op.create_table(
        "stream_offsets",
        sa.Column("consumer_group", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "consumer_group", "topic", "partition", name=op.f("pk_stream_offsets")
        ),
    )
    op.create_table(
        "training_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("progress", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model_name", sa.Text(), nullable=True),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("promoted", sa.Boolean(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_training_jobs")),
    )
    op.create_index(op.f("ix_training_jobs_position"), "training_jobs", ["position"], unique=True)
    op.create_index(
        "ix_training_jobs_unfinished",
        "training_jobs",
        ["position"],
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "verdicts",
        sa.Column("machine_id", sa.Text(), nullable=False),
        sa.Column("timestamp", _MOMENT, nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("cluster", sa.Integer(), nullable=True),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("contributions", postgresql.JSONB(), nullable=True),
        sa.Column("health", postgresql.JSONB(), nullable=True),
        sa.Column("model_name", sa.Text(), nullable=True),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("machine_id", "timestamp", name=op.f("pk_verdicts")),
        postgresql_partition_by="RANGE (timestamp)",
    )


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first tables; drop the database instead")
