"""Promotions say how they came about and how far they are; jobs, whether they may be cancelled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # The defaults are what is true of the rows before: they were written when all had happened.
    for column in (
        sa.Column("kind", sa.Text(), server_default=sa.text("'promotion'"), nullable=False),
        sa.Column("forced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("gate", sa.Text(), nullable=True),
        sa.Column("gate_reason", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'done'"), nullable=False),
        sa.Column("announced", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    ):
        op.add_column("promotions", column)
    op.alter_column("promotions", "to_version", nullable=True)
    op.create_index(
        "ix_promotions_begun",
        "promotions",
        ["model_name"],
        unique=True,
        postgresql_where=sa.text("state = 'begun'"),
    )
    op.create_index(
        "ix_promotions_unannounced",
        "promotions",
        ["position"],
        postgresql_where=sa.text("NOT announced"),
    )
    op.add_column(
        "training_jobs",
        sa.Column("committed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("training_jobs", "committed")
    op.drop_index("ix_promotions_unannounced", "promotions")
    op.drop_index("ix_promotions_begun", "promotions")
    # Neither has a place in the older table.
    op.execute("DELETE FROM promotions WHERE state = 'begun' OR to_version IS NULL")
    op.alter_column("promotions", "to_version", nullable=False)
    for name in ("announced", "state", "gate_reason", "gate", "forced", "kind"):
        op.drop_column("promotions", name)
