"""How challengers did beside champions: a row per pair of versions and process that compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    moment = postgresql.TIMESTAMP(timezone=True, precision=3)
    op.create_table(
        "comparisons",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("champion_version", sa.Text(), nullable=False),
        sa.Column("challenger_version", sa.Text(), nullable=False),
        sa.Column("counter_id", sa.Text(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=False),
        sa.Column("champion", postgresql.JSONB(), nullable=False),
        sa.Column("challenger", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint(
            "model_name",
            "champion_version",
            "challenger_version",
            "counter_id",
            name="pk_comparisons",
        ),
    )


def downgrade() -> None:
    op.drop_table("comparisons")
