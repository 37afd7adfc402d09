#!/usr/bin/env -S python3 -I
"""Backs up and restores Faultline's database; needs Python and PostgreSQL's client programs.

    database.py backup [FILE_OR_FOLDER]    while everything runs
    database.py restore FILE               into an empty database, while the services are stopped

The database is the one that FAULTLINE_DATABASE_URL names; with --docker it is that of
docker-compose.yml, and the programs are those of its container. The archive is one snapshot of
rows and offsets together, so that the recorder goes on exactly where the rows end. Beside it lies
its checksum, FILE.sha256, which a restoration asks for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
_SUMMARY = """
SELECT 'revision ' || (SELECT version_num FROM alembic_version)
    || ', ' || (SELECT coalesce(sum(readings), 0) FROM machines) || ' readings'
UNION ALL
(SELECT 'the recorder goes on with ' || topic || ' ' || partition || ' at ' || next_offset
 FROM stream_offsets WHERE consumer_group = 'recorder' ORDER BY topic, partition)
"""


class Trouble(Exception):
    """What happened, and what to do about it."""


class Server(NamedTuple):
    """How PostgreSQL's programs are called.

    Attributes
    ----------
    before
        What stands before each command.
    connection
        Options by which each finds the database.
    ownership
        Options of a restoration, so that the tables are those of Faultline's role.
    environment
        The same for what is no option: a command line could be read by others.
    """

    before: tuple[str, ...]
    connection: tuple[str, ...]
    ownership: tuple[str, ...]
    environment: dict[str, str]

    def run(
        self,
        *command: str,
        given: IO[bytes] | int = subprocess.DEVNULL,
        to: IO[bytes] | int = subprocess.PIPE,
    ) -> str:
        """Run a program to its end; returns what it wrote, if not into a file.

        Raises
        ------
        Trouble
            When it fails, or is not there.
        """
        try:
            done = subprocess.run(  # noqa: S603 - ours
                [*self.before, *command],
                stdin=given,
                stdout=to,
                stderr=subprocess.PIPE,
                env={**os.environ, **self.environment},
                check=False,
            )
        except FileNotFoundError as error:
            raise Trouble(
                f"{error.filename} is not installed: PostgreSQL's client programs are needed, of "
                "the server's version or a later one"
            ) from None
        if done.returncode:
            raise Trouble(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
        return (done.stdout or b"").decode().strip()

    def ask(self, sql: str) -> str:
        """Return the answer to a query, a row per line."""
        options = ("--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")
        return self.run("psql", *self.connection, *options, "--command", sql)


def in_container() -> Server:
    """Return the server of docker-compose.yml."""
    return Server(
        ("docker", "compose", "exec", "-T", "postgres"),
        ("--username=postgres", "--dbname=faultline"),
        ("--role=faultline",),
        {},
    )


def at(url: str) -> Server:
    """Return the server that a URL names, as libpq's variables.

    Raises
    ------
    Trouble
        When it is no URL of PostgreSQL.
    """
    parts = urlsplit(url)
    database = unquote(parts.path.lstrip("/"))
    if not parts.scheme.startswith("postgres") or not database:
        raise Trouble(
            "FAULTLINE_DATABASE_URL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "or say --docker"
        )
    query = dict(parse_qsl(parts.query))
    environment = {
        "PGHOST": unquote(parts.hostname or query.get("host", "")),
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGSSLMODE": query.get("sslmode", ""),
        "PGSSLROOTCERT": query.get("sslrootcert", ""),
    }
    given = {name: value for name, value in environment.items() if value}
    return Server((), (f"--dbname={database}",), (), given)


def backup(server: Server, target: Path) -> Path:
    """Write an archive and its checksum; nothing is left of one that fails.

    Raises
    ------
    Trouble
        When it cannot be written whole, or is there already.
    """
    if target.is_dir() or not target.suffix:
        target /= f"faultline-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    if target.exists():
        raise Trouble(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    try:
        # It holds everything, so it is for its owner alone.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            server.run("pg_dump", *server.connection, "--format=custom", to=file)
            os.fsync(file.fileno())
        with partial.open("rb") as file:
            server.run("pg_restore", "--file=/dev/null", given=file)
        # As `sha256sum --check` reads it.
        checksum_of(target).write_text(f"{_sha256(partial)}  {target.name}\n")
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def checksum_of(archive: Path) -> Path:
    """Return where the checksum of an archive is."""
    return archive.with_name(f"{archive.name}.sha256")


def verify(archive: Path) -> None:
    """Hold an archive against its checksum: pg_restore takes one that is cut off for whole.

    Raises
    ------
    Trouble
        When it is damaged, or has no checksum.
    """
    checksum = checksum_of(archive)
    if not checksum.exists():
        raise Trouble(f"{checksum} is missing: it belongs to the archive")
    if checksum.read_text().split()[:1] != [_sha256(archive)]:
        raise Trouble(f"{archive} is damaged: its checksum is not that of {checksum}")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def restore(server: Server, archive: Path) -> str:
    """Put an archive into an empty database, wholly or not at all; returns what is there then.

    Raises
    ------
    Trouble
        When the archive is damaged, or the database has tables.
    """
    verify(archive)
    tables = server.ask(_TABLES)
    if tables != "0":
        raise Trouble(
            f"the database has {tables} tables: stop the services, drop the database, create it "
            "anew, empty, and do not migrate it"
        )
    with archive.open("rb") as file:
        server.run(
            "pg_restore",
            *server.connection,
            *server.ownership,
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            "--single-transaction",
            given=file,
        )
    server.ask("ANALYZE")
    return server.ask(_SUMMARY)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("backup", "restore"))
    parser.add_argument("file", nargs="?", type=Path, help="the archive; ./backups for a backup")
    parser.add_argument("--docker", action="store_true", help="the database of docker-compose.yml")
    given = parser.parse_args()
    try:
        server = (
            in_container() if given.docker else at(os.environ.get("FAULTLINE_DATABASE_URL", ""))
        )
        if given.what == "backup":
            said = str(backup(server, given.file or Path("backups")))
        elif given.file is None:
            parser.error("which file is to be restored?")
        else:
            said = restore(server, given.file)
        sys.stdout.write(f"{said}\n")
    except (Trouble, OSError) as error:
        sys.exit(f"database.py: {error}")


if __name__ == "__main__":
    main()
