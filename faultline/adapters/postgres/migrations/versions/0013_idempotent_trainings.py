"""Trainings that find their version there already, and requests that are sent again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("training_jobs", sa.Column("unchanged", sa.Boolean()))
    op.add_column("training_jobs", sa.Column("idempotency_key", sa.Text()))
    op.create_index(
        "ix_training_jobs_idempotency_key",
        "training_jobs",
        ["idempotency_key"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('failed', 'cancelled')"),
    )


def downgrade() -> None:
    op.drop_index("ix_training_jobs_idempotency_key", "training_jobs")
    op.drop_column("training_jobs", "idempotency_key")
    op.drop_column("training_jobs", "unchanged")
