"""Alarms say why in a sentence, and contributions between which values a sensor was expected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# What was stored before knows one expected value only, and that is then both bounds.
_BOUNDED = (
    "(SELECT jsonb_agg(jsonb_build_object('expected_low', part -> 'expected', 'expected_high', "
    "part -> 'expected') || part ORDER BY position) "
    "FROM jsonb_array_elements({parts}) WITH ORDINALITY AS told (part, position))"
)


def upgrade() -> None:
    op.add_column(
        "alarms", sa.Column("why", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    for table, column in (("alarms", "top_sensors"), ("verdicts", "contributions")):
        op.execute(
            f"UPDATE {table} SET {column} = {_BOUNDED.format(parts=column)} "  # noqa: S608
            f"WHERE jsonb_typeof({column}) = 'array' AND {column} <> '[]'"
        )
    told = _BOUNDED.format(parts="alarm -> 'top_sensors'")
    op.execute(
        f"UPDATE alarm_events SET alarm = jsonb_set(alarm, '{{top_sensors}}', {told}) "  # noqa: S608
        "WHERE alarm -> 'top_sensors' <> '[]'"
    )


def downgrade() -> None:
    op.drop_column("alarms", "why")
