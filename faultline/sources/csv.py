"""CSV files as readings, read as a stream. It knows nothing of pacing or of where they go."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from faultline.errors import InvalidReading
from faultline.readings import make_reading
from faultline.sources import delimited
from faultline.sources.delimited import Delimited, InvalidCsv
from faultline.sources.recording import LabelledReading, Recording

__all__ = ["CsvFile", "InvalidCsv"]


class _Columns(NamedTuple):
    timestamp: int
    machine: int | None
    fault: int | None
    sensors: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class CsvFile(Recording):
    """A CSV file.

    The first line names the columns. The separator (comma, semicolon, tab) is found out, gzip is
    recognised by its first bytes. Sensors are the columns that hold numbers; a column whose first
    hundred filled cells hold none is text and left out. An empty cell (also ``NA``, ``NaN``,
    ``null``) is a missing value; a row without any value is skipped. In a file separated by
    semicolons a decimal comma is understood. All else is as in `Recording`.
    """

    def placed(self, after: int = 0) -> Iterator[tuple[int, LabelledReading]]:
        """Yield the rows behind row `after`, in the order of the file, each with its number.

        Raises
        ------
        InvalidCsv
            Naming file, line and column.
        """
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            yield from self._parse(text, after)

    def sensors(self) -> tuple[str, ...]:
        """Names of the columns that are read as sensors, in the order of the file."""
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            columns = self._columns(delimited.begin(self.path, text))
        return tuple(name for _, name in columns.sensors)

    def texts(self) -> tuple[str, ...]:
        """Names of the columns that are left out as they hold no numbers, as in the file."""
        with delimited.opened(self.path) as text, delimited.telling(self.path):
            table = delimited.begin(self.path, text)
            columns = self._columns(table)
        read = {columns.timestamp, columns.machine, columns.fault}
        named = (table.header[index] for index in sorted(delimited.text_columns(table) - read))
        return tuple(name for name in named if name not in self.ignore)

    def count_rows(self) -> int:
        """Count the lines after the header, without reading them as numbers."""
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

    def _parse(self, text: io.TextIOBase, after: int) -> Iterator[tuple[int, LabelledReading]]:
        table = delimited.begin(self.path, text)
        columns = self._columns(table)
        for line, row in enumerate(table.rows, start=2):
            place = line - 1
            if not row or place <= after:
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
            fault = cell.strip() if delimited.names_fault(cell) else ""
            yield place, LabelledReading(reading, fault)

    def _number(self, cell: str, line: int, column: str, decimal_comma: bool) -> float | None:
        try:
            return delimited.number(cell, decimal_comma)
        except ValueError:
            raise delimited.no_number(self.path, line, column, cell) from None
