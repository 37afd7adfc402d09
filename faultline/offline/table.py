"""A file as columns: times, machines and sensors' values, with each row's place for the messages.

Whole in memory, 8 bytes a value. It must not know what the rows are used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faultline.errors import FaultlineError, InvalidReading
from faultline.readings import MAX_ABSOLUTE_VALUE, make_reading

Unit = Literal["auto", "ms", "s"]

# As seconds these are 2001 to 2100; as milliseconds they are days of 1970, when nobody measured.
_FIRST_SECONDS = 1_000_000_000
_LAST_SECONDS = 4_133_980_800


class InvalidTable(FaultlineError):
    """A file that cannot be read as a table of readings; the text names file, place and column."""


@dataclass(frozen=True)
class Layout:
    """Which columns are what.

    Attributes
    ----------
    timestamp_column
        RFC 3339 text (UTC if it names no zone), or a number since 1970.
    timestamp_unit
        What such a number counts; ``auto``: seconds where the first one of the file is one of the
        years 2001 to 2100 in seconds, else milliseconds.
    machine_column
        Name of a column with machine ids; None: every file is of one machine.
    ignore
        Columns that are no sensors.
    fault_column
        Names the fault that a row was taken under; never a sensor.
    """

    timestamp_column: str = "timestamp"
    timestamp_unit: Unit = "auto"
    machine_column: str | None = None
    ignore: tuple[str, ...] = ()
    fault_column: str = "fault"

    def roles(self) -> tuple[str, ...]:
        """Names of the columns that have another meaning than a sensor's."""
        machine = () if self.machine_column is None else (self.machine_column,)
        return (self.timestamp_column, *machine, self.fault_column)


@dataclass(frozen=True, eq=False)
class Table:
    """The n rows of a file, in its order.

    Attributes
    ----------
    columns
        Names of all columns of the file.
    timestamps
        As they stand in the file.
    timestamps_ms
        Shape (n,), int64.
    machine_ids
        One per row; None without a machine column.
    sensors, values
        Names, and shape (n, d), float64, NaN where missing.
    left_out
        Columns that were not read: name to reason.
    lines, place
        Shape (n,): where each row stands, counted in what `place` names.
    """

    path: Path
    columns: tuple[str, ...]
    timestamps: Sequence[str]
    timestamps_ms: NDArray[np.int64]
    machine_ids: Sequence[str] | None
    sensors: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: dict[str, str]
    lines: NDArray[np.int64]
    place: Literal["line", "row"]

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    def at(self, row: int) -> str:
        """Say where a row stands, such as ``train.csv: line 17``."""
        return f"{self.path}: {self.place} {self.lines[row]}"

    def filled(self) -> NDArray[np.bool_]:
        """Whether each row has any value, shape (n,); one that has none is no reading."""
        return np.logical_not(np.isnan(self.values).all(axis=1, keepdims=True))[:, 0]

    def rows_by_machine(self, otherwise: str) -> dict[str, NDArray[np.int64]]:
        """Rows of each machine, in order; all are of `otherwise` without a machine column."""
        if self.machine_ids is None:
            return {otherwise: np.arange(len(self))}
        names, codes = np.unique(np.array(self.machine_ids, dtype=object), return_inverse=True)
        return {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}


def checked(table: Table) -> Table:
    """Hold a table against the limits of readings.

    Raises
    ------
    InvalidTable
        Naming the place and the column of the first value, or the name, that breaks one.
    """
    try:
        if table.sensors:
            make_reading("m", 0, dict.fromkeys(table.sensors))
    except InvalidReading as error:
        raise InvalidTable(f"{table.path}: the header: {error}") from error
    # Written so that NaN, which is a missing value, passes.
    beyond = np.abs(table.values) > MAX_ABSOLUTE_VALUE
    if beyond.any():
        row, column = (int(index) for index in np.argwhere(beyond)[0])
        raise InvalidTable(
            f"{table.at(row)}, column {table.sensors[column]!r}: {table.values[row, column]!r} "
            f"must be a finite number of at most {MAX_ABSOLUTE_VALUE:g} in size"
        )
    return table


def first_unit(unit: Unit, first: str) -> Literal["ms", "s"]:
    """Decide what a file's numbers count, by the first of its timestamps.

    >>> first_unit("auto", "1763712000"), first_unit("auto", "17"), first_unit("s", "17")
    ('s', 'ms', 's')
    """
    if unit != "auto":
        return unit
    try:
        number = float(first)
    except ValueError:
        return "ms"
    return "s" if _FIRST_SECONDS <= number < _LAST_SECONDS else "ms"


def no_column(path: Path, columns: Sequence[str], name: str, option: str) -> InvalidTable:
    """Say that a column is not there, which ones are, and what would name the right one."""
    return InvalidTable(
        f"{path}: there is no column {name!r}; the columns are {', '.join(columns)}. "
        f"Name the right one with {option}"
    )
