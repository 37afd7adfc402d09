"""Runs `mlflow db upgrade`, without the password on a command line; then the same for accounts."""

from __future__ import annotations

import os

from mlflow.db import upgrade
from place import here, schema_revision
from sqlalchemy import inspect


def main() -> None:
    """Bring all tables up to date, and say from what to what."""
    place = here()
    url = place.backend.render_as_string(hide_password=False)
    engine = place.engine()
    before = schema_revision(engine)
    upgrade.main([url], standalone_mode=False)
    with_accounts = inspect(engine).has_table("alembic_version_auth")
    if os.environ.get("MLFLOW_AUTH", "none") == "basic" or with_accounts:
        # Of the extra `auth`, which a platform without accounts need not have.
        from mlflow.server.auth.db.cli import upgrade as upgrade_accounts  # noqa: PLC0415

        accounts = os.environ.get("MLFLOW_AUTH_DATABASE_URI") or url
        upgrade_accounts.main(["--url", accounts], standalone_mode=False)
    print(f"schema {before or '(none)'} -> {schema_revision(engine)}")
    engine.dispose()


if __name__ == "__main__":
    main()
