"""What the gate found of every version, check by check."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "gate_decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name="pk_gate_decisions"),
    )
    op.create_index(
        "ix_gate_decisions_model_name_model_version",
        "gate_decisions",
        ["model_name", "model_version"],
    )


def downgrade() -> None:
    op.drop_table("gate_decisions")
