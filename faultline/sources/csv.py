"""CSV files as readings, read as a stream. It knows nothing of pacing or of where they go."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from faultline.errors import InvalidReading
from faultline.readings import DEFAULT_MACHINE_TYPE, Reading, make_reading
from faultline.sources import delimited
from faultline.sources.delimited import Delimited, InvalidCsv

__all__ = ["CsvFile", "InvalidCsv", "LabelledReading", "merged"]


class LabelledReading(NamedTuple):
    """A reading and what its row says is wrong; ``""`` is healthy, or no such column."""

    reading: Reading
    fault: str


class _Columns(NamedTuple):
    timestamp: int
    machine: int | None
    fault: int | None
    sensors: tuple[tuple[int, str], ...]


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
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            yield from self._parse(text)

    def sensors(self) -> tuple[str, ...]:
        """Names of the columns that are read as sensors, in the order of the file."""
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            columns = self._columns(delimited.begin(self.path, text))
        return tuple(name for _, name in columns.sensors)

    def first_timestamp_ms(self) -> int | None:
        """Milliseconds since the epoch of the first row, shifted; None for a file without rows."""
        return next((reading.timestamp_ms for reading in self.readings()), None)

    def count_lines(self) -> int:
        """Count the lines after the header without reading them as numbers: for a progress bar."""
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            return max(0, sum(1 for _ in text) - 1)

    def _columns(self, table: Delimited) -> _Columns:
        header = table.header
        timestamp = delimited.position(
            self.path, header, self.timestamp_column, "--timestamp-column"
        )
        machine = None
        if self.machine_column is not None:
            machine = delimited.position(self.path, header, self.machine_column, "--machine-column")
        fault = header.index(self.fault_column) if self.fault_column in header else None
        left_out = {timestamp, machine, fault} | delimited.text_columns(table)
        sensors = tuple(
            (index, name)
            for index, name in enumerate(header)
            if index not in left_out and name not in self.ignore
        )
        if not sensors:
            raise InvalidCsv(
                f"{self.path}: no column holds numbers besides {self.timestamp_column!r}; "
                f"the columns are {', '.join(header)}"
            )
        return _Columns(timestamp, machine, fault, sensors)

    def _parse(self, text: io.TextIOBase) -> Iterator[LabelledReading]:
        table = delimited.begin(self.path, text)
        columns = self._columns(table)
        for line, row in enumerate(table.rows, start=2):
            if not row:
                continue
            delimited.check_width(self.path, line, row, len(table.header))
            sensors = {
                name: self._number(row[index], line, name, table.decimal_comma)
                for index, name in columns.sensors
            }
            if all(value is None for value in sensors.values()):
                continue
            machine_id = self.machine_id if columns.machine is None else row[columns.machine]
            try:
                stands = delimited.timestamp_ms(row[columns.timestamp].strip(), self.timestamp_unit)
                reading = make_reading(
                    machine_id, stands + self.shift_ms, sensors, self.machine_type
                )
            except InvalidReading as error:
                raise InvalidCsv(f"{self.path}: line {line}: {error}") from error
            cell = "" if columns.fault is None else row[columns.fault]
            yield LabelledReading(reading, cell.strip() if delimited.names_fault(cell) else "")

    def _number(self, cell: str, line: int, column: str, decimal_comma: bool) -> float | None:
        try:
            return delimited.number(cell, decimal_comma)
        except ValueError:
            raise delimited.no_number(self.path, line, column, cell) from None


def merged(files: Sequence[CsvFile]) -> Iterator[LabelledReading]:
    """Yield the rows of several files as one stream in time order.

    Each file is taken to be in time order itself; rows of a file keep their order in any case.
    """
    return heapq.merge(*(file.rows() for file in files), key=lambda row: row.reading.timestamp_ms)
