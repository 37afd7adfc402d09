"""One archive of a platform: written, verified, restored.

A gzipped tar with `database/...`, `artifacts/...` and, last, `manifest.json`, which has a SHA-256
of every other file. The database is copied first: whatever it speaks of has been uploaded by then.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from place import WORK_PREFIX, Place, counts, fail, here, program, readable, schema_revision
from sqlalchemy import create_engine, inspect, text

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database/postgres.dump"
SQLITE = "database/mlflow.db"
ARTIFACTS = "artifacts/"
_PART = 1 << 20
# Those of extensions aside.
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prokind = 'f' AND NOT EXISTS
        (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def backup(place: Place, out: BinaryIO) -> None:
    """Write the archive."""
    with place.workspace() as work, tarfile.open(fileobj=out, mode="w|gz") as archive:
        name, facts = _copy_database(place, work)
        files = {name: _add(archive, work / Path(name).name, name)}
        folder = place.folder
        if folder is None:
            _say(f"the artifacts are at {place.artifacts} and not in this archive: see README.md")
        for path, name in _files(folder):
            files[ARTIFACTS + name] = _add(archive, path, ARTIFACTS + name)
        manifest = {
            "format": FORMAT,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "mlflow": version("mlflow"),
            **facts,
            "artifacts": {"root": place.artifacts, "included": folder is not None},
            "files": files,
        }
        content = json.dumps(manifest, indent=1).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mtime = len(content), int(time.time())
        archive.addfile(entry, io.BytesIO(content))


def verify(source: BinaryIO) -> dict[str, Any]:
    """Read an archive to its end and compare every file with the manifest, which is returned."""
    seen: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] | None = None
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None:
                    fail(f"the archive holds {entry.name}, which is no file")
                if entry.name == MANIFEST:
                    manifest = json.load(content)
                else:
                    seen[entry.name] = _digest(content)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        fail(f"the archive is damaged: {error}")
    if manifest is None:
        fail(f"the archive is damaged: it ends without {MANIFEST}, or is none of backup.sh")
    if manifest.get("format") != FORMAT:
        fail(f"the archive has format {manifest.get('format')}, and this program reads {FORMAT}")
    wrong = [name for name in manifest["files"] if seen.get(name) != manifest["files"][name]]
    wrong += [name for name in seen if name not in manifest["files"]]
    if wrong:
        fail(f"the archive is damaged: {wrong[0]} and {len(wrong) - 1} others differ")
    return manifest


def restore(place: Place, source: BinaryIO) -> None:
    """Put an archive into an empty platform, and compare what came of it with the manifest."""
    with place.workspace() as work:
        spool = work / "archive"
        with spool.open("wb") as file:
            shutil.copyfileobj(source, file, _PART)
        with spool.open("rb") as file:
            manifest = verify(file)
        _require_fit(place, manifest)
        require_empty(place)
        with tarfile.open(spool, mode="r:gz") as archive:
            _put_artifacts(place, archive)
            _put_database(place, archive, work)
        _compare(place, manifest)
    _say(f"restored and verified: {_summary(manifest)}")


def _copy_database(place: Place, work: Path) -> tuple[str, dict[str, Any]]:
    if place.sqlite is not None:
        if not place.sqlite.exists():
            fail(f"there is no database {place.sqlite}")
        copy = work / "mlflow.db"
        with closing(sqlite3.connect(place.sqlite)) as live, closing(sqlite3.connect(copy)) as to:
            live.backup(to)
        engine = create_engine(f"sqlite:///{copy}")
        facts = {"database": "sqlite", "schema": schema_revision(engine), "rows": counts(engine)}
        engine.dispose()
        return SQLITE, facts
    engine = place.engine()
    with engine.connect() as connection:
        # The dump and our counts see one and the same moment.
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        rows = {
            table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - MLflow's names
            for table in counts(engine)
        }
        _run(
            place,
            [
                program("pg_dump"),
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                f"--snapshot={snapshot}",
                f"--file={work / Path(DUMP).name}",
            ],
        )
    facts = {"database": "postgresql", "schema": schema_revision(engine), "rows": rows}
    engine.dispose()
    return DUMP, facts


def _require_fit(place: Place, manifest: dict[str, Any]) -> None:
    kind = "sqlite" if place.sqlite is not None else "postgresql"
    if manifest["database"] != kind:
        fail(f"the archive is of a platform on {manifest['database']}, and this one is on {kind}")
    if manifest["artifacts"]["included"] and place.folder is None:
        fail(f"the archive holds artifacts, and this platform keeps them at {place.artifacts}")
    if tuple(_numbers(manifest["mlflow"])) > tuple(_numbers(version("mlflow"))):
        fail(
            f"the archive is of MLflow {manifest['mlflow']}, newer than {version('mlflow')} here: "
            "upgrade first"
        )


def require_empty(place: Place) -> None:
    """End with a message when the platform has runs, models or artifacts."""
    if place.sqlite is not None and not place.sqlite.exists():
        found = {}
    else:
        engine = place.engine()
        found = counts(engine)
        engine.dispose()
    # Every database of MLflow begins with the experiment Default.
    held = {name: rows for name, rows in found.items() if rows > (name == "experiments")}
    if held:
        fail(
            "this platform is not empty: "
            + ", ".join(f"{rows} {name.replace('_', ' ')}" for name, rows in held.items())
        )
    folder = place.folder
    stray = next(_files(folder), None)
    if stray is not None:
        fail(f"this platform is not empty: it has artifacts, {stray[0]} for one")


def _put_artifacts(place: Place, archive: tarfile.TarFile) -> None:
    folder = place.folder
    for entry in archive:
        if not entry.name.startswith(ARTIFACTS) or folder is None:
            continue
        entry.name = entry.name.removeprefix(ARTIFACTS)
        archive.extract(entry, folder, filter="data")


def _put_database(place: Place, archive: tarfile.TarFile, work: Path) -> None:
    name = SQLITE if place.sqlite is not None else DUMP
    copy = work / "database"
    content = archive.extractfile(name)
    if content is None:
        fail(f"the archive has no {name}")
    with copy.open("wb") as file:
        shutil.copyfileobj(content, file, _PART)
    if place.sqlite is not None:
        place.sqlite.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(copy)) as kept, closing(sqlite3.connect(place.sqlite)) as live:
            kept.backup(live)
        return
    script = work / "database.sql"
    _run(
        place,
        [program("pg_restore"), "--no-owner", "--no-privileges", f"--file={script}", str(copy)],
    )
    drop = work / "drop.sql"
    engine = place.engine()
    quote = engine.dialect.identifier_preparer.quote
    # What a server has made at its first start: empty tables, and functions that guard them.
    tables = inspect(engine).get_table_names()
    with engine.connect() as connection:
        functions = connection.execute(text(_FUNCTIONS)).scalars().all()
    engine.dispose()
    drop.write_text(
        "".join(f"DROP TABLE {quote(table)} CASCADE;\n" for table in tables)
        + "".join(f"DROP FUNCTION {function} CASCADE;\n" for function in functions)
    )
    _run(
        place,
        [
            program("psql"),
            "--no-psqlrc",
            "--quiet",
            "--output=/dev/null",
            "--set=ON_ERROR_STOP=1",
            "--single-transaction",
            f"--file={drop}",
            f"--file={script}",
        ],
    )


def _compare(place: Place, manifest: dict[str, Any]) -> None:
    engine = place.engine()
    rows, revision = counts(engine), schema_revision(engine)
    engine.dispose()
    if (rows, revision) != (manifest["rows"], manifest["schema"]):
        fail(f"the database differs from the archive's: {rows} for {manifest['rows']}")
    for name, kept in manifest["files"].items():
        if not name.startswith(ARTIFACTS) or place.folder is None:
            continue
        with (place.folder / name.removeprefix(ARTIFACTS)).open("rb") as file:
            if _digest(file) != kept:
                fail(f"the restored artifact {name} differs from the archive's")


def _files(folder: Path | None) -> Iterator[tuple[Path, str]]:
    """Find every artifact, with its name below the folder."""
    if folder is None or not folder.exists():
        return
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(WORK_PREFIX):
            yield path, name


class _Sum(io.RawIOBase):
    """A file that is hashed while it is read, and ends where it ended when it was opened."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self._hash.update(part)
        self.size += len(part)
        return part

    @property
    def facts(self) -> dict[str, Any]:
        return {"bytes": self.size, "sha256": self._hash.hexdigest()}


def _add(archive: tarfile.TarFile, path: Path, name: str) -> dict[str, Any]:
    with path.open("rb") as file:
        entry = archive.gettarinfo(arcname=name, fileobj=file)
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o644
        content = _Sum(file)
        archive.addfile(entry, content)
    return content.facts


def _digest(file: Any) -> dict[str, Any]:
    content = _Sum(file)
    while content.read(_PART):
        pass
    return content.facts


def _run(place: Place, command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        command, env=place.postgres_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        fail(f"{Path(command[0]).name}: {done.stderr.strip()}")


def _numbers(text: str) -> Iterator[int]:
    return (int(part) for part in text.split(".") if part.isdigit())


def _summary(manifest: dict[str, Any]) -> str:
    rows = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in manifest["rows"].items()
    )
    files = manifest["files"]
    size = readable(sum(each["bytes"] for each in files.values()))
    return f"{rows}; {len(files) - 1} artifacts; {size}; MLflow {manifest['mlflow']}"


def _say(message: str) -> None:
    print(f"mlflow platform: {message}", file=sys.stderr)


def main() -> None:
    """Do what the first argument says, with standard output or input as the archive."""
    commands: dict[str, Callable[[], None]] = {
        "backup": lambda: backup(here(), sys.stdout.buffer),
        "verify": lambda: _say(f"the archive is whole: {_summary(verify(sys.stdin.buffer))}"),
        "restore": lambda: restore(here(), sys.stdin.buffer),
        "require-empty": lambda: require_empty(here()),
    }
    commands[sys.argv[1]]()


if __name__ == "__main__":
    main()
