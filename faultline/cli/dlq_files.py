"""The files of `faultline dlq`: letters to be mended, and those that someone has mended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from faultline.dead_letters import Letter, letters_of, record_of, records_in
from faultline.errors import Conflict, FaultlineError
from faultline.ports.broker import Broker

STANDARD = "-"
"""Names the standard input and output."""


def write(letters: Iterator[Letter], file: Path) -> int:
    """Write letters to a new file, or for ``-`` to the standard output; returns how many.

    Raises
    ------
    Conflict
        When the file exists: someone may be mending it.
    """
    if str(file) == STANDARD:
        return _write(letters, sys.stdout.buffer)
    try:
        opened = file.open("xb")
    except FileExistsError as error:
        raise Conflict(
            f"{file} exists already and may hold mended letters: name a new file"
        ) from error
    except OSError as error:
        raise FaultlineError(f"cannot write {file}: {error.strerror}") from error
    try:
        with opened:
            return _write(letters, opened)
    except BaseException:
        file.unlink()
        raise


@contextmanager
def chosen_letters(broker: Broker, file: Path | None) -> Iterator[Iterator[Letter]]:
    """Letters of the topic, or of a file."""
    if file is None:
        yield letters_of(broker)
    elif str(file) == STANDARD:
        yield records_in(sys.stdin.buffer, "the standard input")
    else:
        try:
            opened = file.open("rb")
        except OSError as error:
            raise FaultlineError(f"cannot read {file}: {error.strerror}") from error
        with opened:
            yield records_in(opened, str(file))


def _write(letters: Iterator[Letter], to: BinaryIO) -> int:
    encoder = msgspec.json.Encoder()
    written = 0
    for letter in letters:
        to.write(encoder.encode(record_of(letter)) + b"\n")
        written += 1
    to.flush()
    return written
