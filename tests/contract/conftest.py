"""The databases of the contract suites: one in memory, one on the session's PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.migration import migrate
from faultline.adapters.postgres.schema import METADATA

Database = MemoryDatabase | PostgresDatabase


@contextmanager
def _fresh_database(server_url: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = make_url(server_url)
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables, for one test."""
    with _fresh_database(request.getfixturevalue("platform").database_url) as url:
        yield url


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database, shared; `engine` empties it."""
    with _fresh_database(request.getfixturevalue("platform").database_url) as url:
        migrate(url)
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Connections of the test's own to the database, which is emptied before."""
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(METADATA.tables)}"))
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(engine: Engine, database_url: str) -> Iterator[PostgresDatabase]:
    """The real one, empty."""
    database = PostgresDatabase(database_url)
    yield database
    database.dispose()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def database(request: pytest.FixtureRequest) -> Database:
    """Both kinds, empty."""
    if request.param == "memory":
        return MemoryDatabase()
    made: PostgresDatabase = request.getfixturevalue("postgres")
    return made
