"""What starts trainings by itself, and how many readings each training ended with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_AT = postgresql.TIMESTAMP(timezone=True, precision=3)


def upgrade() -> None:
    op.create_table(
        "training_triggers",
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("suppressed", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("machine_type", "kind", "slot", name="pk_training_triggers"),
    )
    op.create_index(
        "ix_training_triggers_machine_type_at", "training_triggers", ["machine_type", "at"]
    )
    op.create_index("ix_training_triggers_at", "training_triggers", ["at"])
    op.create_table(
        "training_schedules",
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.PrimaryKeyConstraint("machine_type", name="pk_training_schedules"),
    )
    op.add_column("training_jobs", sa.Column("readings_then", sa.BigInteger(), nullable=True))
    # What came between the end of these and now is not known any more: it counts as seen.
    op.execute(
        "UPDATE training_jobs SET readings_then = (SELECT coalesce(sum(readings), 0)"
        " FROM machines WHERE machines.machine_type = training_jobs.machine_type)"
        " WHERE state IN ('succeeded', 'failed')"
    )


def downgrade() -> None:
    op.drop_column("training_jobs", "readings_then")
    op.drop_table("training_schedules")
    op.drop_table("training_triggers")
