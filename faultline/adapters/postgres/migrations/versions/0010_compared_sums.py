"""What was compared is told by the bundles' sums too: numbers come again with other versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    for side in ("champion", "challenger"):
        op.add_column(
            "comparisons",
            sa.Column(f"{side}_sha256", sa.Text(), server_default=sa.text("''"), nullable=False),
        )


def downgrade() -> None:
    for side in ("champion", "challenger"):
        op.drop_column("comparisons", f"{side}_sha256")
