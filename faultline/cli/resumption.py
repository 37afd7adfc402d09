"""Where a replay stands, kept in a file: begun again, it goes on there.

What is kept was acknowledged. Rows sent after that are sent again, which changes nothing: a reading
is stored once, by its machine and time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from faultline.errors import Conflict, FaultlineError
from faultline.labels import FaultLabel
from faultline.sources.recording import Placed
from faultline.sources.truth import FaultRuns, OpenFault

_SUFFIX = ".replay.json"


class _File(msgspec.Struct, frozen=True):
    """A file by its content: the same under another name is the same."""

    name: str
    size_bytes: int
    sha256: str


class _Kept(msgspec.Struct, frozen=True):
    files: tuple[_File, ...]
    options: dict[str, str]
    start_ms: int | None
    rows: tuple[int, ...]
    faults: tuple[OpenFault, ...]
    complete: bool


def state_beside(file: Path) -> Path:
    """Where it is kept when nobody says: beside the (first) file.

    >>> state_beside(Path("data/pump.csv")).as_posix()
    'data/pump.csv.replay.json'
    """
    return file.with_name(file.name + _SUFFIX)


class Position:
    """How much of a replay's files has gone, and the faults that its rows are under.

    Parameters
    ----------
    rows
        Of each file, how many rows have gone.
    faults
        What was open after them.

    Attributes
    ----------
    rows
        The same.
    runs
        The faults of these rows.
    complete
        Whether all has arrived.
    goes_on
        Whether it can be taken up again later.
    """

    goes_on = False

    def __init__(
        self, rows: Sequence[int], faults: Sequence[OpenFault] = (), complete: bool = False
    ) -> None:
        self.rows = list(rows)
        self.runs = FaultRuns(faults)
        self.complete = complete

    def take(self, placed: Placed) -> tuple[FaultLabel, ...]:
        """Count a row that has gone; returns what changed by it, as `FaultRuns.observe`."""
        self.rows[placed.file] = placed.place
        return self.runs.observe(placed.row)

    def arrived(self, complete: bool = False) -> None:
        """Take note that everything taken so far has arrived, and whether that was all."""
        self.complete = complete


class KeptPosition(Position):
    """A position in a file: begun again, the replay goes on there.

    Parameters
    ----------
    state
        The file that it is kept in; need not exist.
    files
        The files' paths, in the order that they are given.
    options
        What the readings depend on, by the option's name: it must be as it was.
    start_ms
        When the earliest reading shall be; None: as in the files. What is kept counts.

    Attributes
    ----------
    start_ms
        That of the first time.

    Raises
    ------
    Conflict
        When what is kept is of other files, or of other options.
    """

    goes_on = True

    def __init__(
        self,
        state: Path,
        files: Sequence[Path],
        options: Mapping[str, str],
        start_ms: int | None,
    ) -> None:
        self._state = state
        self._files = tuple(map(_identity, files))
        self._options = dict(options)
        kept = _read(state)
        if kept is not None:
            self._require_same(kept)
            self.start_ms = kept.start_ms
            super().__init__(kept.rows, kept.faults, kept.complete)
        else:
            self.start_ms = start_ms
            super().__init__([0] * len(files))

    def arrived(self, complete: bool = False) -> None:
        """Write down that everything taken so far has arrived, and whether that was all.

        Raises
        ------
        FaultlineError
            When it cannot be written.
        """
        super().arrived(complete)
        kept = _Kept(
            files=self._files,
            options=self._options,
            start_ms=self.start_ms,
            rows=tuple(self.rows),
            faults=self.runs.open(),
            complete=complete,
        )
        written = self._state.with_name(self._state.name + ".new")
        try:
            with written.open("wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self._state)
        except OSError as error:
            raise FaultlineError(
                f"{self._state}: where the replay stands cannot be kept: {error.strerror}; name "
                "another place with --state"
            ) from error

    def _require_same(self, kept: _Kept) -> None:
        anew = f"delete {self._state} to send from the beginning, or name another with --state"
        content = [(file.size_bytes, file.sha256) for file in self._files]
        if content != [(file.size_bytes, file.sha256) for file in kept.files]:
            were = ", ".join(file.name for file in kept.files)
            raise Conflict(
                f"{self._state} tells of other files, or of others' content ({were}); {anew}"
            )
        other = sorted(
            name
            for name in self._options.keys() | kept.options.keys()
            if self._options.get(name) != kept.options.get(name)
        )
        if other:
            was = ", ".join(f"{name} {kept.options.get(name) or '(none)'}" for name in other)
            raise Conflict(f"{self._state} was begun with {was}; {anew}")


def _identity(path: Path) -> _File:
    if path.exists() and not path.is_file():
        raise FaultlineError(f"{path}: is no file; only a file can be gone on with")
    try:
        with path.open("rb") as file:
            total = hashlib.file_digest(file, "sha256").hexdigest()
            return _File(path.name, file.tell(), total)
    except OSError as error:
        raise FaultlineError(f"{path}: cannot be opened: {error.strerror}") from error


def _read(state: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(state.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Conflict(
            f"{state}: is not what a replay has written ({error}); delete it, or name another "
            "with --state"
        ) from error
