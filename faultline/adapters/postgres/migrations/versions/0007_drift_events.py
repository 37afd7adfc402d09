"""What drifted, when, and by how much."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    moment = postgresql.TIMESTAMP(timezone=True, precision=3)
    op.create_table(
        "drift_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("findings", postgresql.JSONB(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("machines", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_drift_events"),
    )
    op.create_index("ix_drift_events_machine_type_at", "drift_events", ["machine_type", "at"])
    op.create_index("ix_drift_events_at", "drift_events", ["at"])


def downgrade() -> None:
    op.drop_table("drift_events")
