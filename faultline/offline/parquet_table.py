"""Reads a Parquet file into a table. Needs pyarrow, which the extra ``trainer`` brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from faultline.errors import InvalidReading
from faultline.offline.table import (
    InvalidTable,
    Layout,
    Table,
    no_column,
    number_as_ms,
    unit_of,
)
from faultline.readings import check_machine_id, parse_timestamp


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
        if layout.machine_column is not None:
            read[layout.machine_column] = None
        table = file.read(columns=list(read))
    except (pa.ArrowException, OSError) as error:
        raise InvalidTable(f"{path}: cannot be read as Parquet: {error}") from error
    stand, times_ms = _times(path, table.column(layout.timestamp_column), layout)
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
        machine_ids=None if layout.machine_column is None else _machines(path, table, layout),
        sensors=sensors,
        values=values,
        left_out=left_out,
        lines=np.arange(1, table.num_rows + 1),
        place="row",
    )


def _require(path: Path, names: Sequence[str], layout: Layout) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidTable(f"{path}: names the column {name!r} twice")
    if layout.timestamp_column not in names:
        raise no_column(path, names, layout.timestamp_column, "--timestamp-column")
    if layout.machine_column is not None and layout.machine_column not in names:
        raise no_column(path, names, layout.machine_column, "--machine-column")


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
        elif _is_number(field.type):
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


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _times(
    path: Path, column: pa.ChunkedArray, layout: Layout
) -> tuple[list[str], NDArray[np.int64]]:
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise InvalidTable(
            f"{path}: row {row}, column {layout.timestamp_column!r}: the timestamp is missing"
        )
    kind = column.type
    stand: list[str] = column.cast(pa.string()).to_pylist()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        moments = column.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64()).to_pylist()
    else:
        moments = column.to_pylist()
    first = moments[0] if moments else 0
    number = isinstance(first, int | float)
    unit = unit_of(layout.timestamp_unit, first if number else 0.0)
    if pa.types.is_temporal(kind):
        unit = "ms"
    times_ms = np.empty(len(moments), dtype=np.int64)
    for row, moment in enumerate(moments):
        times_ms[row] = _moment_ms(path, row, moment, unit, layout)
    return stand, times_ms


def _moment_ms(path: Path, row: int, moment: Any, unit: Any, layout: Layout) -> int:
    try:
        if isinstance(moment, str):
            return parse_timestamp(moment.strip())
        return number_as_ms(moment, unit)
    except (InvalidReading, TypeError) as error:
        raise InvalidTable(
            f"{path}: row {row + 1}, column {layout.timestamp_column!r}: {error}"
        ) from error


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
