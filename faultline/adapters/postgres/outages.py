"""Which of PostgreSQL's errors mean that it does not answer now, and how they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy import exc

from faultline.errors import Unavailable

# Not outages of the connection, yet waiting (for a migration, for a primary) ends them.
_WAIT_FOR: dict[str, str] = {
    errorcodes.UNDEFINED_TABLE: "its tables are not there yet: run `faultline migrate`",
    errorcodes.UNDEFINED_COLUMN: "its tables are of an older version: run `faultline migrate`",
    errorcodes.READ_ONLY_SQL_TRANSACTION: "it takes no writes now (a standby?)",
}


@contextmanager
def outages_as_unavailable() -> Iterator[None]:
    """Turn what waiting can help into `Unavailable`; everything else passes.

    The driver's own errors come here too: COPY goes past SQLAlchemy.
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(
            "PostgreSQL: all connections are in use; try again, or run fewer requests at once"
        ) from error
    except exc.DBAPIError as error:
        raise _translated(error.orig, error.connection_invalidated) or error from error
    except psycopg2.Error as error:
        raise _translated(error, False) or error from error


def _translated(error: BaseException | None, connection_lost: bool) -> Unavailable | None:
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode in _WAIT_FOR:
        return Unavailable(f"PostgreSQL: {_WAIT_FOR[error.pgcode]}")
    # A limit of PostgreSQL's own (an index entry that is too long): it is the row, not an outage.
    if error.pgcode is not None and error.pgcode.startswith("54"):
        return None
    # A connection that ends in the middle of a COPY is a bare DatabaseError without a code.
    bare = type(error) is psycopg2.DatabaseError and error.pgcode is None
    if (
        connection_lost
        or bare
        or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    ):
        return Unavailable(f"PostgreSQL: {' '.join(str(error).split())}")
    return None
