"""Kafka and PostgreSQL of a run, with a way of its own to Kafka for each service.

Kafka sends a client that has found it to the address that it advertises: so that a proxy stays in
between, each service has a listener of its own, which advertises the proxy.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from sqlalchemy import make_url

from faultline.adapters.postgres.migration import migrate
from faultline.local.ports import Ports
from faultline.local.postgres import account
from faultline.local.stack import Stack
from tests.history.processes import free_port, frozen, until
from tests.history.proxy import HOST, Proxy, chunks, kafka_requests

_DISK_BYTES = 2**31
"""More than a run of hours needs; it takes the memory that is used."""


@dataclass(frozen=True)
class Platform:
    """What is there for services to run on.

    Attributes
    ----------
    to_kafka, to_postgres
        The proxies, by the service that goes through them.
    own_disk
        Where the tables are, if they are on a disk of their own.
    """

    stack: Stack
    to_kafka: Mapping[str, Proxy]
    to_postgres: Mapping[str, Proxy]
    own_disk: Path | None

    def database_url(self, service: str, database: str | None = None) -> str:
        """A database, the stack's own when None, through the service's proxy."""
        url = make_url(self.stack.endpoints.database_url)
        url = url.set(port=self.to_postgres[service].port, database=database or url.database)
        return url.render_as_string(hide_password=False)

    def pid(self, component: str) -> int:
        """Of Kafka or PostgreSQL."""
        [status] = [one for one in self.stack.status() if one.name == component]
        assert status.pid is not None, f"{component} does not run"
        return status.pid

    def kill(self, component: str) -> None:
        """End it with SIGKILL, and wait until the supervisor has it back."""
        before = self.pid(component)
        os.kill(before, signal.SIGKILL)
        until(lambda: self._is_back(component, before), f"{component} to be back")

    @contextmanager
    def frozen(self, component: str) -> Iterator[None]:
        """It stands still in the block."""
        with frozen(self.pid(component)):
            yield

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """No table can grow in the block."""
        disk = self.own_disk
        assert disk is not None
        # Whoever writes between the look and the change makes it larger than it may become.
        until(lambda: _resized(disk, _used_bytes(disk)), "a disk without room")
        try:
            yield
        finally:
            assert _resized(disk, _DISK_BYTES)

    def _is_back(self, component: str, before: int) -> bool:
        [status] = [one for one in self.stack.status() if one.name == component]
        return status.state == "healthy" and status.pid != before


@contextmanager
def running_platform(
    components: Collection[str],
    *,
    kafka_of: Collection[str] = (),
    postgres_of: Collection[str] = (),
    disk: bool = False,
) -> Iterator[Platform]:
    """Start it; the database is migrated.

    Parameters
    ----------
    kafka_of, postgres_of
        Services that have a proxy.
    disk
        Whether the tables shall be on a disk of their own, where that can be had.
    """
    with ExitStack() as open_:
        folder = Path(open_.enter_context(TemporaryDirectory(prefix="faultline-history-")))
        own_disk = open_.enter_context(_own_disk(folder / "disk")) if disk else None
        ports = Ports.free()
        stack = open_.enter_context(Stack(folder / "home", ports, components))
        direct = {name: free_port() for name in kafka_of}
        to_kafka = {
            name: open_.enter_context(Proxy(port, kafka_requests)) for name, port in direct.items()
        }
        if direct:
            _listen(stack, direct, {name: proxy.port for name, proxy in to_kafka.items()})
        to_postgres = {
            name: open_.enter_context(Proxy(ports.postgres, chunks)) for name in postgres_of
        }
        if own_disk is not None:
            _put_tables_on(own_disk, stack.endpoints.database_url)
        migrate(stack.endpoints.database_url)
        yield Platform(stack, to_kafka, to_postgres, own_disk)


def _listen(stack: Stack, direct: Mapping[str, int], advertised: Mapping[str, int]) -> None:
    """Have Kafka listen for each service on a port, and advertise another."""
    file = stack.home.config / "kafka.properties"
    values = dict(line.split("=", 1) for line in file.read_text("ascii").splitlines())
    for name, port in direct.items():
        listener = name.upper()
        values["listeners"] += f",{listener}://{HOST}:{port}"
        values["advertised.listeners"] += f",{listener}://{HOST}:{advertised[name]}"
        values["listener.security.protocol.map"] += f",{listener}:PLAINTEXT"
    file.write_text("".join(f"{key}={value}\n" for key, value in values.items()), "ascii")
    stack.restart("kafka")


def _used_bytes(disk: Path) -> int:
    told = os.statvfs(disk)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def _resized(disk: Path, size_bytes: int) -> bool:
    command = ["mount", "-o", f"remount,size={size_bytes}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _own_disk(folder: Path) -> Iterator[Path | None]:
    """A file system in memory; None where this account may not mount one."""
    folder.mkdir()
    # The disk belongs to the account that PostgreSQL runs as.
    options = f"size={_DISK_BYTES},mode=0700,uid={account() or os.geteuid()}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "faultline-history", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _put_tables_on(folder: Path, database_url: str) -> None:
    tables = folder / "tables"
    tables.mkdir(mode=0o700)
    os.chown(tables, folder.stat().st_uid, -1)
    url = make_url(database_url)
    execute(database_url, f"CREATE TABLESPACE own_disk LOCATION '{tables}'")
    execute(database_url, f'ALTER DATABASE "{url.database}" SET default_tablespace = own_disk')


def execute(database_url: str, statement: str) -> None:
    """Run a statement that must be in no transaction."""
    url = make_url(database_url).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
