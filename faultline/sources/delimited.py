"""Text separated by commas, semicolons or tabs: how it is opened and what its cells mean.

Every reader of CSV stands on this one. It knows neither readings nor detectors.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

from faultline.errors import FaultlineError
from faultline.readings import parse_timestamp

# Rows looked at to tell which columns are text.
_HEAD_ROWS = 100
_SEPARATORS = ",;\t"
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_GZIP_MAGIC = b"\x1f\x8b"


class InvalidCsv(FaultlineError):
    """A file that cannot be read as a table of readings; the text names file, line and column."""


class Delimited(NamedTuple):
    """A file whose first line was read.

    Attributes
    ----------
    header
        Names of the columns, all different.
    head
        The first rows, which `rows` yields again.
    rows
        The cells of each row after the header; an empty line is an empty list.
    decimal_comma
        Whether ``1,5`` is a number.
    """

    header: tuple[str, ...]
    head: Sequence[list[str]]
    rows: Iterator[list[str]]
    decimal_comma: bool


@contextmanager
def opened(path: Path) -> Iterator[io.TextIOBase]:
    """Open a file as UTF-8 text, unpacked if it is compressed by gzip.

    Raises
    ------
    InvalidCsv
        When it cannot be opened, or what is read from it is no such text.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidCsv(f"{path}: cannot be opened: {error.strerror}") from error
    with raw:
        packed = raw.peek(2)[:2] == _GZIP_MAGIC
        binary = gzip.GzipFile(fileobj=raw) if packed else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield text


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Raise what goes wrong while a file is read as `InvalidCsv`, with the file's name."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidCsv(f"{path}: not UTF-8 text ({error.reason}); convert it first") from error
    except (csv.Error, EOFError, OSError) as error:
        raise InvalidCsv(f"{path}: {error}") from error


def begin(path: Path, text: io.TextIOBase) -> Delimited:
    """Read the header: find out the separator and name the columns.

    Raises
    ------
    InvalidCsv
        When the first line is empty or names a column twice.
    """
    header_line = text.readline()
    if not header_line.strip():
        raise InvalidCsv(f"{path}: line 1 is empty; it must name the columns")
    separator = max(_SEPARATORS, key=header_line.count)
    header = tuple(name.strip() for name in next(csv.reader([header_line], delimiter=separator)))
    for name in header:
        if header.count(name) > 1:
            raise InvalidCsv(f"{path}: line 1 names the column {name!r} twice")
    rows = csv.reader(text, delimiter=separator)
    head = list(islice(rows, _HEAD_ROWS))
    return Delimited(header, head, chain(head, rows), decimal_comma=separator == ";")


def position(path: Path, header: Sequence[str], name: str, option: str) -> int:
    """Find a column; `option` of the command line would name the right one."""
    try:
        return header.index(name)
    except ValueError:
        raise InvalidCsv(
            f"{path}: there is no column {name!r}; the columns are {', '.join(header)}. "
            f"Name the right one with {option}"
        ) from None


def number(cell: str, decimal_comma: bool) -> float | None:
    """Read a cell; None is a missing value. Raises `ValueError` when it is no number.

    >>> number("1,5", decimal_comma=True), number(" NA ", decimal_comma=False)
    (1.5, None)
    """
    text = cell.strip()
    if text.lower() in _MISSING:
        return None
    # Python's own literals may be grouped by underscores; nobody's measurements are.
    if "_" in text:
        raise ValueError(text)
    return float(text.replace(",", ".") if decimal_comma else text)


def is_text(cells: Iterable[str], decimal_comma: bool) -> bool:
    """Whether there are filled cells, and no number among them."""
    filled = False
    for cell in cells:
        try:
            if number(cell, decimal_comma) is not None:
                return False
        except ValueError:
            filled = True
    return filled


def text_columns(table: Delimited) -> frozenset[int]:
    """Positions of the columns whose filled cells in the head hold no number."""
    return frozenset(
        index
        for index in range(len(table.header))
        if is_text((row[index] for row in table.head if index < len(row)), table.decimal_comma)
    )


def no_number(path: Path, line: int, column: str, cell: str) -> InvalidCsv:
    """Say that a cell should hold a number."""
    return InvalidCsv(
        f"{path}: line {line}, column {column!r}: {cell!r} is not a number. "
        "Leave a missing value empty; a column that is no sensor is left out with --ignore when "
        "learning and when sending"
    )


def check_width(path: Path, line: int, row: Sequence[str], width: int) -> None:
    """Raise `InvalidCsv` when a row has more or fewer cells than the header."""
    if len(row) != width:
        raise InvalidCsv(f"{path}: line {line} has {len(row)} cells, the header {width}")


def timestamp_ms(cell: str, unit: Literal["ms", "s"]) -> int:
    """Milliseconds since the epoch of RFC 3339 text, or of a number that counts `unit`.

    Raises
    ------
    InvalidReading
        When it is neither.
    """
    try:
        since = float(cell)
    except ValueError:
        return parse_timestamp(cell)
    return parse_timestamp(since * 1_000 if unit == "s" else since)
