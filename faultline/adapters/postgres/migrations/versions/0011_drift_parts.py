"""What each replica counted of its machines' readings, so that drift is judged over all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    moment = postgresql.TIMESTAMP(timezone=True, precision=3)
    op.create_table(
        "drift_parts",
        sa.Column("machine_type", sa.Text(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("bundle_sha256", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("machines", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("machine_type", "replica", name="pk_drift_parts"),
    )


def downgrade() -> None:
    op.drop_table("drift_parts")
