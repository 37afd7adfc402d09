"""What was put off is decided again, and every decision has a row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PRIMARY_KEY = "pk_training_triggers"


def upgrade() -> None:
    op.add_column(
        "training_triggers",
        sa.Column("attempt", sa.Integer(), nullable=False, server_default=sa.text("1")),
    )
    op.drop_constraint(_PRIMARY_KEY, "training_triggers", type_="primary")
    op.create_primary_key(
        _PRIMARY_KEY, "training_triggers", ["machine_type", "kind", "slot", "attempt"]
    )


def downgrade() -> None:
    # Without attempts an occasion has one row: the last.
    op.execute(
        "DELETE FROM training_triggers AS earlier USING training_triggers AS later"
        " WHERE (later.machine_type, later.kind, later.slot)"
        " = (earlier.machine_type, earlier.kind, earlier.slot)"
        " AND later.attempt > earlier.attempt"
    )
    op.drop_constraint(_PRIMARY_KEY, "training_triggers", type_="primary")
    op.create_primary_key(_PRIMARY_KEY, "training_triggers", ["machine_type", "kind", "slot"])
    op.drop_column("training_triggers", "attempt")
