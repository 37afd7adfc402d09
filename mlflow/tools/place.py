"""Where one platform keeps its things: its database, its artifacts, its server.

Read from the environment; the scripts have put it there, for a container or the local stack.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Engine, create_engine, inspect, make_url, text

COUNTED = ("experiments", "runs", "logged_models", "registered_models", "model_versions")
"""Tables by whose rows a backup and its restored copy are compared."""

WORK_PREFIX = ".platform-"


def fail(message: str) -> NoReturn:
    """End with a message and without a traceback."""
    sys.exit(f"mlflow platform: {message}")


@dataclass(frozen=True, slots=True)
class Place:
    """A platform.

    Attributes
    ----------
    backend
        URL of the database.
    artifacts
        Folder or URI below which the server keeps the artifacts.
    server
        Base URL of the server.
    """

    backend: URL
    artifacts: str
    server: str

    @property
    def folder(self) -> Path | None:
        """The artifacts' folder; None when they are elsewhere, on S3 say."""
        parts = urlsplit(self.artifacts)
        if parts.scheme in ("", "file"):
            return Path(unquote(parts.path))
        return None

    @property
    def sqlite(self) -> Path | None:
        """The database's file; None when it is no SQLite."""
        if self.backend.get_backend_name() != "sqlite":
            return None
        return Path(self.backend.database or "mlflow.db")

    def engine(self) -> Engine:
        """Return a connection pool of the database, to be disposed of."""
        wait = {"connect_timeout": 10} if self.sqlite is None else {}
        return create_engine(self.backend, connect_args=wait)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Lend a folder for large files: where the artifacts are there is room."""
        folder = self.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as work:
            yield Path(work)

    def postgres_environment(self) -> dict[str, str]:
        """Environment by which PostgreSQL's programs find the database."""
        url = self.backend
        given = {
            "PGHOST": url.host,
            "PGPORT": url.port,
            "PGUSER": url.username,
            "PGPASSWORD": url.password,
            "PGDATABASE": url.database,
            **{
                f"PG{key.upper()}": url.query.get(key)
                for key in ("sslmode", "sslrootcert", "sslcert", "sslkey")
            },
        }
        return os.environ | {name: str(value) for name, value in given.items() if value}


def here() -> Place:
    """Find the platform that the environment names."""
    missing = [
        name
        for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACT_ROOT")
        if not os.environ.get(name)
    ]
    if missing:
        fail(f"set {' and '.join(missing)}, or call the script beside this platform")
    backend = make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
    if backend.get_backend_name() not in ("postgresql", "sqlite"):
        fail(f"the database is {backend.get_backend_name()}: only PostgreSQL and SQLite are known")
    return Place(
        backend=backend,
        artifacts=os.environ["MLFLOW_ARTIFACT_ROOT"],
        server=os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5000").rstrip("/"),
    )


def program(name: str) -> str:
    """Path of one of PostgreSQL's programs, from MLFLOW_PG_BIN if that is set."""
    found = shutil.which(name, path=os.environ.get("MLFLOW_PG_BIN") or None)
    if found is None:
        fail(f"{name} is not there: install PostgreSQL's client, or set MLFLOW_PG_BIN")
    return found


def schema_revision(engine: Engine) -> str | None:
    """Revision of MLflow's tables; None when there are none yet."""
    if not inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def counts(engine: Engine) -> dict[str, int]:
    """Rows of each of the tables in `COUNTED` that exist."""
    present = set(inspect(engine).get_table_names())
    with engine.connect() as connection:
        return {
            table: int(
                connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our own names
            )
            for table in COUNTED
            if table in present
        }


def readable(size: float) -> str:
    """Say a number of bytes as a person would."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
