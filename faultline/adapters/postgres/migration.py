"""Brings the database's tables up to date: Alembic, without a file of settings."""

from __future__ import annotations

from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, text

from faultline.adapters.postgres.address import parsed
from faultline.adapters.postgres.outages import outages_as_unavailable

MIGRATION_LOCK = 7_215_001
"""Key of the advisory lock that whoever migrates holds."""


class Migrated(NamedTuple):
    """Revisions before and after; None where there were no tables."""

    before: str | None
    after: str | None


def migrate(database_url: str) -> Migrated:
    """Make or change the tables as this version needs them, in one transaction.

    Safe to repeat, and safe when several processes start at once: the others wait for the first.

    Raises
    ------
    Conflict
        When the URL is none of PostgreSQL.
    Unavailable
        When the database does not answer.
    """
    engine = create_engine(
        parsed(database_url), poolclass=NullPool, connect_args={"connect_timeout": 5}
    )
    with outages_as_unavailable(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        before = _revision(connection)
        config = Config()
        config.set_main_option("script_location", "faultline.adapters.postgres:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return Migrated(before, _revision(connection))


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
