"""Rows in and out by COPY, in its text format."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from sqlalchemy import Connection

NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def escaped(value: str) -> str:
    """Text as a COPY field."""
    # Nearly every text needs no escape, and these two looks cost less than translating it.
    if value.isprintable() and "\\" not in value:
        return value
    return value.translate(_ESCAPES)


def escaped_or_null(value: str | None) -> str:
    """Text as a COPY field, None as NULL."""
    return NULL if value is None else escaped(value)


def escaped_json(encoded: bytes) -> str:
    """JSON as a COPY field: it holds no control characters, but may hold backslashes."""
    return encoded.decode().replace("\\", "\\\\")


def copy_in(connection: Connection, table: str, lines: Iterable[str]) -> None:
    """Append rows to a table, within the transaction of the connection.

    Parameters
    ----------
    table
        Its name, with its columns where not all are given.
    lines
        One per row, fields separated by tabs, without the line's end.
    """
    text = "\n".join(lines)
    if text:
        # A line's end at the end too, or an empty last field would be missing.
        _copy(connection, f"COPY {table} FROM STDIN", io.BytesIO(f"{text}\n".encode()))


def copy_out(
    connection: Connection, query: str, parameters: object, take: Callable[[bytes], object]
) -> None:
    """Run a query and hand over each row as one line of COPY's text format, as it arrives.

    Parameters
    ----------
    query
        With psycopg2's placeholders, ``%(name)s``.
    parameters
        What stands for them.
    take
        Called with a row's bytes, the line's end included.
    """
    cursor = connection.connection.cursor()
    try:
        # COPY takes no bound parameters, so the driver writes them into the text.
        bound = cursor.mogrify(query, parameters).decode()
    finally:
        cursor.close()
    _copy(connection, f"COPY ({bound}) TO STDOUT", _Taker(take))


def _copy(connection: Connection, statement: str, file: object) -> None:
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(statement, file)
    finally:
        cursor.close()


class _Taker:
    """What psycopg2 takes for a file: it calls `write` once per row."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self.write = take
