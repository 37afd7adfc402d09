"""How far what the gate has decided has come, so that what was cut off is found and completed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "gate_decisions",
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'told'")),
    )
    op.create_index(
        "ix_gate_decisions_untold",
        "gate_decisions",
        ["at"],
        postgresql_where=sa.text("state <> 'told'"),
    )


def downgrade() -> None:
    op.drop_index("ix_gate_decisions_untold", "gate_decisions")
    op.drop_column("gate_decisions", "state")
