"""Parquet files as readings, a row group at a time. Needs pyarrow, of the extra ``trainer``.

It knows nothing of pacing or of where they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from faultline.errors import FaultlineError, InvalidReading
from faultline.readings import make_reading
from faultline.sources import delimited, parquet_columns
from faultline.sources.recording import LabelledReading, Recording

# Rows decoded at once: what is in memory, beside a row group's bytes as they are in the file.
_BATCH_ROWS = 4_096


class InvalidParquet(FaultlineError):
    """A file that cannot be read as a table of readings; the text names file, row and column."""


class _Columns(NamedTuple):
    machine: str | None
    fault: str | None
    sensors: tuple[str, ...]


@dataclass(frozen=True)
class ParquetFile(Recording):
    """A Parquet file.

    Sensors are the columns whose type is a number; a null or NaN is a missing value; a row without
    any value is skipped. The time may be of a type of times (UTC if it has no zone), text, or a
    number. All else is as in `Recording`.
    """

    def placed(self, after: int = 0) -> Iterator[tuple[int, LabelledReading]]:
        """Yield the rows behind row `after`, in the order of the file, each with its number.

        Raises
        ------
        InvalidParquet
            Naming file, row (the first is 1) and column.
        """
        with self._telling(), pq.ParquetFile(self.path) as file:
            columns = self._columns(file)
            groups, before = _groups_behind(file, after)
            names = dict.fromkeys([self.timestamp_column, *columns.sensors])
            names.update({name: None for name in (columns.machine, columns.fault) if name})
            batches = file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=list(names))
            for batch in batches:
                skipped = min(max(0, after - before), batch.num_rows)
                yield from self._batch(batch.slice(skipped), columns, before + skipped + 1)
                before += batch.num_rows

    def sensors(self) -> tuple[str, ...]:
        """Names of the columns that are read as sensors, in the order of the file."""
        with self._telling(), pq.ParquetFile(self.path) as file:
            return self._columns(file).sensors

    def texts(self) -> tuple[str, ...]:
        """Names of the columns that are left out as they hold no numbers, as in the file."""
        with self._telling(), pq.ParquetFile(self.path) as file:
            columns = self._columns(file)
            names = file.schema_arrow.names
        read = {self.timestamp_column, columns.machine, columns.fault, *columns.sensors}
        return tuple(name for name in names if name not in read.union(self.ignore))

    def count_rows(self) -> int:
        """Count the rows, by what the file says of itself."""
        with self._telling(), pq.ParquetFile(self.path) as file:
            return int(file.metadata.num_rows)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise InvalidParquet(f"{self.path}: cannot be read as Parquet: {error}") from error

    def _columns(self, file: pq.ParquetFile) -> _Columns:
        schema = file.schema_arrow
        names = list(schema.names)
        for name in names:
            if names.count(name) > 1:
                raise InvalidParquet(f"{self.path}: names the column {name!r} twice")
        for wanted, option in (
            (self.timestamp_column, "--timestamp-column"),
            (self.machine_column, "--machine-column"),
        ):
            if wanted is not None and wanted not in names:
                told = delimited.no_column(names, wanted, option)
                raise InvalidParquet(f"{self.path}: {told}")
        fault = self.fault_column if self.fault_column in names else None
        left_out = {self.timestamp_column, self.machine_column, fault, *self.ignore}
        sensors = tuple(
            field.name
            for field in schema
            if field.name not in left_out and parquet_columns.is_number(field.type)
        )
        if not sensors:
            raise InvalidParquet(
                f"{self.path}: no column holds numbers besides {self.timestamp_column!r}; the "
                f"columns are {', '.join(names)}"
            )
        return _Columns(self.machine_column, fault, sensors)

    def _batch(
        self, batch: pa.RecordBatch, columns: _Columns, first: int
    ) -> Iterator[tuple[int, LabelledReading]]:
        times_ms = self._times_ms(batch.column(self.timestamp_column), first)
        values = [
            batch.column(name).cast(pa.float64(), safe=False).to_pylist()
            for name in columns.sensors
        ]
        machines = _texts(batch, columns.machine)
        faults = _texts(batch, columns.fault)
        for index, numbers in enumerate(zip(*values, strict=True)):
            sensors = {
                # A NaN is not equal to itself.
                name: None if value is None or value != value else value  # noqa: PLR0124
                for name, value in zip(columns.sensors, numbers, strict=True)
            }
            if all(value is None for value in sensors.values()):
                continue
            machine_id = self.machine_id if machines is None else machines[index]
            try:
                reading = make_reading(
                    machine_id, times_ms[index] + self.shift_ms, sensors, self.machine_type
                )
            except InvalidReading as error:
                raise InvalidParquet(f"{self.path}: row {first + index}: {error}") from error
            fault = "" if faults is None else faults[index].strip()
            healthy = not delimited.names_fault(fault)
            yield first + index, LabelledReading(reading, "" if healthy else fault)

    def _times_ms(self, column: pa.Array, first: int) -> list[int]:
        place = f"column {self.timestamp_column!r}"
        if column.null_count:
            row = first + column.is_null().to_pylist().index(True)
            raise InvalidParquet(f"{self.path}: row {row}, {place}: the timestamp is missing")
        found = parquet_columns.times(column)
        if found is None:
            raise InvalidParquet(
                f"{self.path}: {place} is of the type {column.type}; it must hold times"
            )
        unit = "ms" if found.dated else self.timestamp_unit
        times_ms = []
        for row, cell in enumerate(found.cells, start=first):
            try:
                times_ms.append(delimited.timestamp_ms(cell.strip(), unit))
            except InvalidReading as error:
                told = str(error).removeprefix("timestamp: ")
                raise InvalidParquet(f"{self.path}: row {row}, {place}: {told}") from error
        return times_ms


def _groups_behind(file: pq.ParquetFile, after: int) -> tuple[Sequence[int], int]:
    """The row groups that hold rows behind row `after`, and how many rows are before them."""
    before = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if before + rows > after:
            return range(group, file.num_row_groups), before
        before += rows
    return (), before


def _texts(batch: pa.RecordBatch, name: str | None) -> list[str] | None:
    if name is None:
        return None
    cells: list[Any] = batch.column(name).to_pylist()
    return ["" if cell is None else str(cell) for cell in cells]
