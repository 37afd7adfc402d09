"""The shelf: bundles on disk, with a pointer to the last good version of each model.

What stands on it was verified when it was put there, and is verified again when it is taken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

_POINTER = "last-good.json"
_INCOMING = ".incoming"


class Shelved(NamedTuple):
    """A bundle on the shelf."""

    name: str
    version: str
    folder: Path


class _Pointer(msgspec.Struct, frozen=True, omit_defaults=True):
    version: str
    previous: str | None = None


class BundleShelf:
    """A folder ``<name>/<version>/`` per bundle. Used by one process.

    Every method raises `OSError` when the disk does not let it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Left by a process that died while it was downloading.
        shutil.rmtree(folder / _INCOMING, ignore_errors=True)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """An empty folder to download into, on the same disk; gone afterwards."""
        place = self._folder / _INCOMING
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place) as folder:
            yield Path(folder)

    def find(self, name: str, version: str) -> Path | None:
        """Where a version stands, if it does."""
        folder = self._folder / name / version
        return folder if folder.is_dir() else None

    def put(self, name: str, version: str, bundle: Path) -> Path:
        """Move a verified bundle onto the shelf, whole or not at all; returns its place."""
        target = self._folder / name / version
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        bundle.rename(target)
        return target

    def remember(self, name: str, version: str) -> None:
        """Make a version the last good one. It and the one before are kept, others go."""
        before = self._pointer(name)
        previous = None if before is None else before.version
        if before is not None and previous == version:
            previous = before.previous
        self._point(name, _Pointer(version, previous))
        for folder in (self._folder / name).iterdir():
            if folder.is_dir() and folder.name not in (version, previous):
                shutil.rmtree(folder)

    def forget(self, name: str) -> None:
        """Have no last good version of a model any more."""
        (self._folder / name / _POINTER).unlink(missing_ok=True)

    def last_good(self) -> Iterator[Shelved]:
        """The last good version of each model, by name."""
        if not self._folder.is_dir():
            return
        for place in sorted(self._folder.iterdir()):
            pointer = self._pointer(place.name)
            if pointer is not None:
                yield Shelved(place.name, pointer.version, place / pointer.version)

    def _pointer(self, name: str) -> _Pointer | None:
        try:
            content = (self._folder / name / _POINTER).read_bytes()
            return msgspec.json.decode(content, type=_Pointer)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def _point(self, name: str, pointer: _Pointer) -> None:
        path = self._folder / name / _POINTER
        written = path.with_suffix(".new")
        with written.open("wb") as file:
            file.write(msgspec.json.encode(pointer))
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
