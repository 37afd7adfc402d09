"""CSV files as readings, read as a stream. It knows nothing of pacing or of where they go."""

from __future__ import annotations

import csv
import gzip
import heapq
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

from faultline.errors import FaultlineError, InvalidReading
from faultline.readings import DEFAULT_MACHINE_TYPE, Reading, make_reading, parse_timestamp

# Rows looked at to tell the separator and which columns are text.
_HEAD_ROWS = 100
_SEPARATORS = ",;\t"
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_GZIP_MAGIC = b"\x1f\x8b"


class InvalidCsv(FaultlineError):
    """A file that cannot be read as readings; the text names file, line and column."""


class LabelledReading(NamedTuple):
    """A reading and what its row says is wrong; ``""`` is healthy, or no such column."""

    reading: Reading
    fault: str


class _Columns(NamedTuple):
    timestamp: int
    machine: int | None
    fault: int | None
    sensors: tuple[tuple[int, str], ...]
    width: int


@dataclass(frozen=True)
class CsvFile:
    """A CSV file of one machine, or of several told apart by a column.

    The first line names the columns. The separator (comma, semicolon, tab) is found out, gzip is
    recognised by its first bytes. Sensors are the columns that hold numbers; a column whose first
    hundred filled cells hold none is text and left out. An empty cell (also ``NA``, ``NaN``,
    ``null``) is a missing value; a row without any value is skipped. In a file separated by
    semicolons a decimal comma is understood.

    Attributes
    ----------
    machine_id
        Whose readings they are; with `machine_column`, the column's value counts.
    timestamp_column
        RFC 3339 text (UTC if it names no zone), or a number since 1970 in `timestamp_unit`.
    machine_column
        Name of a column with machine ids; None: the file is of one machine.
    ignore
        Columns that are no sensors.
    fault_column
        Holds the name of the fault a row was taken under, empty when healthy; never a sensor.
    shift_ms
        Added to every timestamp.
    """

    path: Path
    machine_id: str
    machine_type: str = DEFAULT_MACHINE_TYPE
    timestamp_column: str = "timestamp"
    timestamp_unit: Literal["ms", "s"] = "ms"
    machine_column: str | None = None
    ignore: tuple[str, ...] = ()
    fault_column: str = "fault"
    shift_ms: int = 0

    def readings(self) -> Iterator[Reading]:
        """Yield the readings in the order of the file. Raises as `rows` does."""
        return (row.reading for row in self.rows())

    def rows(self) -> Iterator[LabelledReading]:
        """Yield the readings in the order of the file, each with its row's fault.

        Raises
        ------
        InvalidCsv
            Naming file, line and column, when there is no such file, no such column, a cell that
            is no number, or a value that the limits of readings forbid.
        """
        with self._open() as text:
            try:
                yield from self._parse(text)
            except UnicodeDecodeError as error:
                raise InvalidCsv(
                    f"{self.path}: not UTF-8 text ({error.reason}); convert it first"
                ) from error
            except (csv.Error, EOFError, gzip.BadGzipFile) as error:
                raise InvalidCsv(f"{self.path}: {error}") from error

    def sensors(self) -> tuple[str, ...]:
        """Names of the columns that are read as sensors, in the order of the file."""
        with self._open() as text:
            _, columns, _ = self._start(text)
        return tuple(name for _, name in columns.sensors)

    def first_timestamp_ms(self) -> int | None:
        """Milliseconds since the epoch of the first row, shifted; None for a file without rows."""
        return next((reading.timestamp_ms for reading in self.readings()), None)

    def count_lines(self) -> int:
        """Count the lines after the header without reading them as numbers: for a progress bar."""
        with self._open() as text:
            try:
                return max(0, sum(1 for _ in text) - 1)
            except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
                raise InvalidCsv(f"{self.path}: cannot be read: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[io.TextIOBase]:
        try:
            raw = self.path.open("rb")
        except OSError as error:
            raise InvalidCsv(f"{self.path}: cannot be opened: {error.strerror}") from error
        with raw:
            packed = raw.peek(2)[:2] == _GZIP_MAGIC
            binary = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
                yield text

    def _start(self, text: io.TextIOBase) -> tuple[Iterator[list[str]], _Columns, bool]:
        header_line = text.readline()
        if not header_line.strip():
            raise InvalidCsv(f"{self.path}: line 1 is empty; it must name the columns")
        separator = max(_SEPARATORS, key=header_line.count)
        header = [name.strip() for name in next(csv.reader([header_line], delimiter=separator))]
        rows = csv.reader(text, delimiter=separator)
        head = list(islice(rows, _HEAD_ROWS))
        decimal_comma = separator == ";"
        columns = self._columns(header, head, decimal_comma)
        return chain(head, rows), columns, decimal_comma

    def _columns(
        self, header: list[str], head: Sequence[list[str]], decimal_comma: bool
    ) -> _Columns:
        for name in header:
            if header.count(name) > 1:
                raise InvalidCsv(f"{self.path}: line 1 names the column {name!r} twice")
        timestamp = self._index(header, self.timestamp_column, "--timestamp-column")
        machine = None
        if self.machine_column is not None:
            machine = self._index(header, self.machine_column, "--machine-column")
        fault = header.index(self.fault_column) if self.fault_column in header else None
        left_out = {timestamp, machine, fault}
        sensors = tuple(
            (index, name)
            for index, name in enumerate(header)
            if index not in left_out
            and name not in self.ignore
            and not _is_text((row[index] for row in head if index < len(row)), decimal_comma)
        )
        if not sensors:
            raise InvalidCsv(
                f"{self.path}: no column holds numbers besides {self.timestamp_column!r}; "
                f"the columns are {', '.join(header)}"
            )
        return _Columns(timestamp, machine, fault, sensors, len(header))

    def _index(self, header: list[str], name: str, option: str) -> int:
        try:
            return header.index(name)
        except ValueError:
            raise InvalidCsv(
                f"{self.path}: there is no column {name!r}; the columns are {', '.join(header)}. "
                f"Name the right one with {option}"
            ) from None

    def _parse(self, text: io.TextIOBase) -> Iterator[LabelledReading]:
        rows, columns, decimal_comma = self._start(text)
        for line, row in enumerate(rows, start=2):
            if not row:
                continue
            if len(row) != columns.width:
                raise InvalidCsv(
                    f"{self.path}: line {line} has {len(row)} cells, the header {columns.width}"
                )
            sensors = {
                name: self._number(row[index], line, name, decimal_comma)
                for index, name in columns.sensors
            }
            if all(value is None for value in sensors.values()):
                continue
            machine_id = self.machine_id if columns.machine is None else row[columns.machine]
            try:
                timestamp_ms = self._timestamp_ms(row[columns.timestamp].strip()) + self.shift_ms
                reading = make_reading(machine_id, timestamp_ms, sensors, self.machine_type)
            except InvalidReading as error:
                raise InvalidCsv(f"{self.path}: line {line}: {error}") from error
            fault = "" if columns.fault is None else row[columns.fault].strip()
            yield LabelledReading(reading, fault)

    def _number(self, cell: str, line: int, column: str, decimal_comma: bool) -> float | None:
        try:
            return _number(cell, decimal_comma)
        except ValueError:
            raise InvalidCsv(
                f"{self.path}: line {line}, column {column!r}: {cell!r} is not a number. "
                f"Leave a missing value empty; leave the column out with --ignore {column}"
            ) from None

    def _timestamp_ms(self, cell: str) -> int:
        try:
            number = float(cell)
        except ValueError:
            return parse_timestamp(cell)
        return parse_timestamp(number * 1_000 if self.timestamp_unit == "s" else number)


def _number(cell: str, decimal_comma: bool) -> float | None:
    text = cell.strip()
    if text.lower() in _MISSING:
        return None
    # Python's own literals may be grouped by underscores; nobody's measurements are.
    if "_" in text:
        raise ValueError(text)
    return float(text.replace(",", ".") if decimal_comma else text)


def _is_text(cells: Iterable[str], decimal_comma: bool) -> bool:
    """Whether there are filled cells, and no number among them."""
    filled = False
    for cell in cells:
        try:
            if _number(cell, decimal_comma) is not None:
                return False
        except ValueError:
            filled = True
    return filled


def merged(files: Sequence[CsvFile]) -> Iterator[LabelledReading]:
    """Yield the rows of several files as one stream in time order.

    Each file is taken to be in time order itself; rows of a file keep their order in any case.
    """
    return heapq.merge(*(file.rows() for file in files), key=lambda row: row.reading.timestamp_ms)
