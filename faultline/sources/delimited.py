"""Text separated by commas, semicolons or tabs: how it is opened and what its cells mean.

Every reader of CSV stands on this one. It knows neither readings nor detectors.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

from faultline.errors import FaultlineError, InvalidReading
from faultline.readings import parse_timestamp
from faultline.readings.refusal import short

SEPARATORS = ",;\t"
"""One of them separates the cells of a table."""

# Rows looked at to tell which columns are text.
_HEAD_ROWS = 100
_MOST_NAMES = 40
_PER_MS = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_NO_FAULT = _MISSING | {"0", "0.0", "false"}
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK"


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
        magic = raw.peek(2)[:2]
        if magic == _ZIP_MAGIC:
            raise InvalidCsv(f"{path}: a zip archive or an Excel workbook; save it as CSV first")
        packed = magic == _GZIP_MAGIC
        binary = gzip.GzipFile(fileobj=raw) if packed else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield text


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Raise what goes wrong while a file is read as `InvalidCsv`, with the file's name."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidCsv(f"{path}: {_undecodable(path)}; save it as UTF-8 first") from error
    except (csv.Error, EOFError, OSError) as error:
        raise InvalidCsv(f"{path}: {error}") from error


def _undecodable(path: Path) -> str:
    """Find the first line that is no UTF-8 text."""
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == _GZIP_MAGIC
        for number, line in enumerate(gzip.GzipFile(fileobj=raw) if packed else raw, start=1):
            try:
                line.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                return (
                    f"line {number} is not UTF-8 text (byte 0x{line[error.start]:02x} after "
                    f"{short(line[: error.start].decode())})"
                )
    return "it is not UTF-8 text"


def begin(path: Path | str, text: io.TextIOBase, max_columns: int | None = None) -> Delimited:
    """Read the header: find out the separator and name the columns.

    Parameters
    ----------
    path
        What is read, for the messages.
    max_columns
        Of a table that is read whole; None: as many as there are.

    Raises
    ------
    InvalidCsv
        When there is no first line, or it is empty, names one column only, more than the bound,
        or one twice.
    """
    header_line = text.readline()
    if not header_line:
        raise InvalidCsv(f"{path}: the file is empty")
    if not header_line.strip():
        raise InvalidCsv(f"{path}: line 1 is empty; it must name the columns")
    separator = max(SEPARATORS, key=header_line.count)
    header = tuple(name.strip() for name in next(csv.reader([header_line], delimiter=separator)))
    if len(header) == 1:
        raise InvalidCsv(
            f"{path}: line 1 names one column only, {short(header[0])}; a table has a column of "
            "times and one per sensor, separated by comma, semicolon or tab"
        )
    if max_columns is not None and len(header) > max_columns:
        raise InvalidCsv(
            f"{path}: line 1 names {len(header)} columns; at most {max_columns} are read"
        )
    if len(set(header)) < len(header):
        [(name, _)] = Counter(header).most_common(1)
        raise InvalidCsv(f"{path}: line 1 names the column {short(name)} twice")
    rows = (
        row if len(row) > 1 or "".join(row).strip() else []
        for row in csv.reader(text, delimiter=separator)
    )
    head = list(islice(rows, _HEAD_ROWS))
    return Delimited(header, head, chain(head, rows), decimal_comma=separator == ";")


def position(path: Path, header: Sequence[str], name: str, option: str) -> int:
    """Find a column; `option` of the command line would name the right one."""
    try:
        return header.index(name)
    except ValueError:
        raise InvalidCsv(f"{path}: line 1: {no_column(header, name, option)}") from None


def no_column(header: Sequence[str], name: str, option: str) -> str:
    """Say that a column is not there, which ones are, and what would name the right one."""
    return f"{lacks(header, name)}. Name the right one with {option}"


def lacks(header: Sequence[str], name: str) -> str:
    """Say that a column is not there, and which ones are."""
    named = [column or "(one without a name)" for column in header]
    more = f" and {len(named) - _MOST_NAMES} more" if len(named) > _MOST_NAMES else ""
    return f"there is no column {name!r}; the columns are {', '.join(named[:_MOST_NAMES])}{more}"


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


def names_fault(cell: str) -> bool:
    """Whether a cell of a column of faults names one, or is a label other than 0 or false.

    >>> names_fault("leak"), names_fault("1"), names_fault(" "), names_fault("0")
    (True, True, False, False)
    """
    return cell.strip().lower() not in _NO_FAULT


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


def no_number(
    path: Path, line: int, column: str, cell: str, *, may_ignore: bool = True
) -> InvalidCsv:
    """Say that a cell should hold a number.

    Parameters
    ----------
    may_ignore
        Whether whoever reads the file could leave the column out.
    """
    told = f"{path}: line {line}, column {column!r}: {cell!r} is not a number. "
    return InvalidCsv(
        f"{told}Leave a missing value empty; a column that is no sensor is left out with --ignore "
        "when learning and when sending"
        if may_ignore
        else f"{told}Leave a missing value empty; the model learnt this column as a sensor"
    )


def check_width(path: Path | str, line: int, row: Sequence[str], width: int) -> None:
    """Raise `InvalidCsv` when a row has more or fewer cells than the header."""
    if len(row) != width:
        cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        raise InvalidCsv(f"{path}: line {line} has {cells}, the header {width}")


def timestamp_ms(cell: str, unit: Literal["s", "ms", "us", "ns"]) -> int:
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
    try:
        # Without the rounding 1.001 s would be cut off to 1,000 ms.
        return parse_timestamp(since if unit == "ms" else round(since / _PER_MS[unit], 3))
    except InvalidReading as error:
        raise InvalidReading(
            f"timestamp: {short(cell)}, counted in {unit}, is no time in the years 1970 to 2100"
        ) from error
