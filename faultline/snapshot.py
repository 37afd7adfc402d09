"""The rows that a detector was fitted to, as one Parquet file. Needs pyarrow.

It knows the file; it must not know where the rows come from or where the file goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.errors import InvalidBundle

_GROUP_ROWS = 1_000_000


def in_memory_bytes(histories: Sequence[MachineHistory]) -> int:
    """What the numbers of histories take, as they are and not compressed."""
    return sum(one.values.nbytes + one.timestamps_ms.nbytes for one in histories)


def write_rows(path: Path, sensors: Sequence[str], histories: Sequence[MachineHistory]) -> None:
    """Write rows so that reading them gives the same numbers, bit for bit.

    The first two columns are ``machine_id`` and ``timestamp`` (UTC, milliseconds), with underscores
    added where a sensor has that name; then one per sensor, null where missing. A group of rows is
    of one machine.
    """
    machine, timestamp = identity_columns(sensors)
    schema = pa.schema(
        [
            pa.field(machine, pa.string(), nullable=False),
            pa.field(timestamp, pa.timestamp("ms", "UTC"), nullable=False),
            *(pa.field(name, pa.float64()) for name in sensors),
        ]
    )
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[machine],
        column_encoding={timestamp: "DELTA_BINARY_PACKED"}
        | dict.fromkeys(sensors, "BYTE_STREAM_SPLIT"),
    ) as writer:
        for history in histories:
            for start in range(0, len(history.timestamps_ms), _GROUP_ROWS):
                times = history.timestamps_ms[start : start + _GROUP_ROWS]
                values = history.values[start : start + _GROUP_ROWS]
                columns = [
                    pa.repeat(history.machine_id, len(times)),
                    pa.array(times, type=pa.int64()).cast(schema.field(1).type),
                    *(pa.array(column, type=pa.float64(), from_pandas=True) for column in values.T),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def identity_columns(sensors: Sequence[str]) -> tuple[str, str]:
    """Names of the columns of the machine and of the time, which no sensor has.

    >>> identity_columns(["flow", "timestamp"])
    ('machine_id', 'timestamp_')
    """
    names = []
    for wanted in ("machine_id", "timestamp"):
        name = wanted
        while name in sensors:
            name += "_"
        names.append(name)
    machine, timestamp = names
    return machine, timestamp


def read_rows(
    path: Path, sensors: Sequence[str], max_rows: int | None = None
) -> tuple[MachineHistory, ...]:
    """Read what `write_rows` wrote.

    Parameters
    ----------
    max_rows
        At most; None is any number.

    Raises
    ------
    InvalidBundle
        When it is no such file, or has other columns or more rows.
    """
    try:
        with pq.ParquetFile(path) as file:
            return _histories(path, file, sensors, max_rows)
    except (pa.ArrowException, OSError) as error:
        raise InvalidBundle(f"{path.name}: cannot be read as Parquet: {error}") from error


def _histories(
    path: Path, file: pq.ParquetFile, sensors: Sequence[str], max_rows: int | None
) -> tuple[MachineHistory, ...]:
    expected = [*identity_columns(sensors), *sensors]
    if list(file.schema_arrow.names) != expected:
        raise InvalidBundle(f"{path.name}: its columns are not the machine, the time and sensors")
    rows = file.metadata.num_rows
    if max_rows is not None and rows > max_rows:
        raise InvalidBundle(f"{path.name}: has {rows} rows, at most {max_rows} are read")
    parts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for index in range(file.metadata.num_row_groups):
        group = file.read_row_group(index)
        machines = group.column(0).unique().to_pylist()
        if len(machines) != 1:
            raise InvalidBundle(f"{path.name}: row group {index} is not of one machine")
        times = group.column(1).cast(pa.int64()).to_numpy()
        values = np.empty((group.num_rows, len(sensors)))
        for column in range(len(sensors)):
            values[:, column] = group.column(column + 2).to_numpy()
        parts.setdefault(machines[0], []).append((times, values))
    return tuple(
        MachineHistory(
            machine_id,
            np.concatenate([times for times, _ in of_machine]),
            np.concatenate([values for _, values in of_machine]),
        )
        for machine_id, of_machine in parts.items()
    )
