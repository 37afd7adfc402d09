"""Reads a Parquet file into a table. Needs pyarrow, which the extra ``trainer`` brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from faultline.errors import InvalidReading
from faultline.offline.table import (
    CountedUnit,
    InvalidTable,
    Layout,
    Table,
    counted_unit,
)
from faultline.readings import check_machine_id
from faultline.sources import delimited, parquet_columns
from faultline.sources.delimited import names_fault, timestamp_ms

# Rows looked at to tell what a number in the timestamp column counts.
_HEAD_ROWS = 100


def read_parquet(path: Path, layout: Layout, wanted: Sequence[str] | None) -> Table:
    """Read a whole file; see `faultline.offline.reading.read_table`.

    Raises
    ------
    InvalidTable
        Naming file, row (the first is 1) and column.
    """
    try:
        # One file and no folder of them: names in its path are no columns.
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        names = list(schema.names)
        _require(path, names, layout)
        sensors, left_out = _sensors(path, schema, layout, wanted)
        read = dict.fromkeys([layout.timestamp_column, *sensors])
        has_faults = wanted is None and layout.has_faults(names)
        if has_faults:
            read[layout.fault_column] = None
        if layout.machine_column is not None:
            read[layout.machine_column] = None
        table = file.read(columns=list(read))
    except (pa.ArrowException, OSError) as error:
        raise InvalidTable(f"{path}: cannot be read as Parquet: {error}") from error
    stand, times_ms, unit = _times(path, table.column(layout.timestamp_column), layout)
    values = np.empty((table.num_rows, len(sensors)))
    for column, name in enumerate(sensors):
        values[:, column] = (
            table.column(name).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        )
    return Table(
        path=path,
        columns=tuple(names),
        timestamps=stand,
        timestamps_ms=times_ms,
        timestamp_unit=unit,
        machine_ids=None if layout.machine_column is None else _machines(path, table, layout),
        sensors=sensors,
        values=values,
        left_out=left_out,
        lines=np.arange(1, table.num_rows + 1),
        place="row",
        faulty=_faulty(table.column(layout.fault_column)) if has_faults else None,
    )


def _require(path: Path, names: Sequence[str], layout: Layout) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidTable(f"{path}: names the column {name!r} twice")
    if layout.timestamp_column not in names:
        told = delimited.no_column(names, layout.timestamp_column, "--timestamp-column")
        raise InvalidTable(f"{path}: {told}")
    if layout.machine_column is not None and layout.machine_column not in names:
        told = delimited.no_column(names, layout.machine_column, "--machine-column")
        raise InvalidTable(f"{path}: {told}")


def _sensors(
    path: Path, schema: pa.Schema, layout: Layout, wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    roles = layout.roles()
    left_out: dict[str, str] = {}
    sensors: list[str] = []
    for field in schema:
        if field.name in roles[:-1]:
            continue
        if field.name in layout.ignore:
            left_out[field.name] = "ignored, as asked for"
        elif field.name == layout.fault_column:
            left_out[field.name] = "names the fault of a row"
        elif wanted is not None and field.name not in wanted:
            continue
        elif parquet_columns.is_number(field.type):
            sensors.append(field.name)
        elif wanted is not None:
            raise InvalidTable(
                f"{path}: column {field.name!r} is of the type {field.type}; it must hold numbers"
            )
        else:
            left_out[field.name] = f"holds {field.type}, no numbers"
    if wanted is not None:
        return tuple(name for name in wanted if name in sensors), left_out
    return tuple(sensors), left_out


def _times(
    path: Path, column: pa.ChunkedArray, layout: Layout
) -> tuple[list[str], NDArray[np.int64], CountedUnit]:
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise InvalidTable(
            f"{path}: row {row}, column {layout.timestamp_column!r}: the timestamp is missing"
        )
    found = parquet_columns.times(column)
    if found is None:
        raise InvalidTable(
            f"{path}: column {layout.timestamp_column!r} is of the type {column.type}; it must "
            "hold times"
        )
    cells = found.cells
    unit: CountedUnit = (
        "ms" if found.dated else counted_unit(layout.timestamp_unit, cells[:_HEAD_ROWS])
    )
    stand: list[str] = column.cast(pa.string()).to_pylist() if found.dated else cells
    times_ms = np.empty(len(cells), dtype=np.int64)
    for row, cell in enumerate(cells):
        try:
            times_ms[row] = timestamp_ms(cell.strip(), unit)
        except InvalidReading as error:
            wrong = str(error).removeprefix("timestamp: ")
            raise InvalidTable(
                f"{path}: row {row + 1}, column {layout.timestamp_column!r}: {wrong}"
            ) from error
    return stand, times_ms, unit


def _faulty(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.array(
        [cell is not None and names_fault(str(cell)) for cell in column.to_pylist()], dtype=np.bool_
    )


def _machines(path: Path, table: pa.Table, layout: Layout) -> list[str]:
    machine_ids = [
        "" if machine is None else str(machine)
        for machine in table.column(layout.machine_column).to_pylist()
    ]
    for machine_id in dict.fromkeys(machine_ids):
        try:
            check_machine_id(machine_id)
        except InvalidReading as error:
            row = machine_ids.index(machine_id) + 1
            raise InvalidTable(
                f"{path}: row {row}, column {layout.machine_column!r}: {error}"
            ) from error
    return machine_ids
