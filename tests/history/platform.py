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

_SMALL_DISK_MB = 64


@dataclass(frozen=True)
class Platform:
    """What is there for services to run on.

    Attributes
    ----------
    to_kafka, to_postgres
        The proxies, by the service that goes through them.
    small_disk
        Where the tables are, if they are on a disk of their own.
    """

    stack: Stack
    to_kafka: Mapping[str, Proxy]
    to_postgres: Mapping[str, Proxy]
    small_disk: Path | None

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
        assert self.small_disk is not None
        filler = self.small_disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                _fill(file.fileno())
            yield
        finally:
            filler.unlink()

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
        small_disk = open_.enter_context(_small_disk(folder / "disk")) if disk else None
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
        if small_disk is not None:
            _put_tables_on(small_disk, stack.endpoints.database_url)
        migrate(stack.endpoints.database_url)
        yield Platform(stack, to_kafka, to_postgres, small_disk)


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


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system in memory; None where this account may not mount one."""
    folder.mkdir()
    # The disk belongs to the account that PostgreSQL runs as.
    options = f"size={_SMALL_DISK_MB}m,mode=0700,uid={account() or os.geteuid()}"
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
    execute(database_url, f"CREATE TABLESPACE small LOCATION '{tables}'")
    execute(database_url, f'ALTER DATABASE "{url.database}" SET default_tablespace = small')


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


def _fill(descriptor: int) -> None:
    block = bytes(64 * 1024)
    while block:
        try:
            os.write(descriptor, block)
        except OSError:
            # Then what is left in smaller parts, to the last page.
            block = block[: len(block) // 2] if len(block) > 4096 else b""
