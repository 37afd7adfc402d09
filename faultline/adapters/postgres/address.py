"""The address of a database as people give it, and as SQLAlchemy takes it."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from faultline.errors import Conflict


def parsed(database_url: str) -> URL:
    """Read an address; ``postgresql://`` and ``postgres://`` do as well, the driver is psycopg2.

    Raises
    ------
    Conflict
        When it is none. The text may hold a password, so it is not repeated.
    """
    try:
        url = make_url(database_url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() != "postgresql" or not url.database:
        raise Conflict(
            "the database's address is not of the form "
            "postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return url.set(drivername="postgresql+psycopg2")
