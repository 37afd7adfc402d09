"""What Alembic runs for every migration; the connection comes from `migration.migrate`."""

from __future__ import annotations

from alembic import context

from faultline.adapters.postgres.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
