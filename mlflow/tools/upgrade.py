"""Runs `mlflow db upgrade`, without the password on a command line; then the same for accounts.

With --check it only says whether that is needed. MLflow's server does not: it refuses tables that
are of an older form, but upgrades them unasked where the newer form has another table.
"""

from __future__ import annotations

import os
import sys

from mlflow.db import upgrade
from mlflow.store.db.utils import (
    _get_latest_schema_revision,
    create_sqlalchemy_engine_with_retry,
)
from place import Place, fail, here, schema_revision
from sqlalchemy import inspect


def check(place: Place) -> None:
    """End with a message when the tables are there and of another form than MLflow's."""
    # Waits for a database that is about to start.
    url = place.backend.render_as_string(hide_password=False)
    engine = create_sqlalchemy_engine_with_retry(url)  # type: ignore[no-untyped-call] # MLflow's
    found = schema_revision(engine)
    engine.dispose()
    expected = _get_latest_schema_revision()  # type: ignore[no-untyped-call] # MLflow's own
    if found not in (None, expected):
        fail(
            f"the database's tables are of revision {found}, and this MLflow needs {expected}: "
            "make a backup, then run upgrade.sh (or, after going back to an older MLflow, restore)"
        )


def bring_up_to_date(place: Place) -> None:
    """Upgrade all tables, and say from what to what."""
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
    if sys.argv[1:] == ["--check"]:
        check(here())
    else:
        bring_up_to_date(here())
