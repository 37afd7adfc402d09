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

CountedUnit = Literal["s", "ms", "us", "ns"]
Unit = Literal["auto", "s", "ms", "us", "ns"]

# From these numbers on a unit gives the years from 2001; times _LAST_YEAR it is past 2100.
_FROM: tuple[tuple[float, CountedUnit], ...] = (
    (1e18, "ns"),
    (1e15, "us"),
    (1e12, "ms"),
    (1e9, "s"),
)
_LAST_YEAR = 4.134
# Smaller ones name no date: nobody measured in 1970. They count from a start, and if in
# milliseconds, no row comes so soon after another.
_LEAST_STEP_MS = 100.0
# 1971-01-01: a history that ends before it counts from a start.
_FIRST_DATE_MS = 31_536_000_000


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
        What such a number counts; ``auto``: see `counted_unit`.
    machine_column
        Name of a column with machine ids; None: every file is of one machine.
    ignore
        Columns that are no sensors.
    fault_column
        Names the fault that a row was taken under, empty or 0 when healthy; never a sensor.
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

    def has_faults(self, columns: Sequence[str]) -> bool:
        """Whether one of a file's columns names faults."""
        taken = (*self.roles()[:-1], *self.ignore)
        return self.fault_column in columns and self.fault_column not in taken


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
    timestamp_unit
        What a number among `timestamps` counts.
    machine_ids
        One per row; None without a machine column.
    sensors, values
        Names, and shape (n, d), float64, NaN where missing.
    left_out
        Columns that were not read: name to reason.
    faulty
        Shape (n,): rows for which a fault is named; None without a column of faults, or when it
        was not asked for.
    lines, place
        Shape (n,): where each row stands, counted in what `place` names.
    """

    path: Path
    columns: tuple[str, ...]
    timestamps: Sequence[str]
    timestamps_ms: NDArray[np.int64]
    timestamp_unit: CountedUnit
    machine_ids: Sequence[str] | None
    sensors: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: dict[str, str]
    lines: NDArray[np.int64]
    place: Literal["line", "row"]
    faulty: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    def at(self, row: int) -> str:
        """Say where a row stands, such as ``train.csv: line 17``."""
        return f"{self.path}: {self.place} {self.lines[row]}"

    def is_dated(self) -> bool:
        """Whether its times are dates, and no numbers that count from a start."""
        return is_dated(int(self.timestamps_ms.max()))

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
        value = float(table.values[row, column])
        raise InvalidTable(
            f"{table.at(row)}, column {table.sensors[column]!r}: {value!r} "
            f"must be a finite number of at most {MAX_ABSOLUTE_VALUE:g} in size"
        )
    return table


def is_dated(last_ms: int) -> bool:
    """Whether rows that end at a time have dates: nobody measured in 1970."""
    return last_ms >= _FIRST_DATE_MS


def dated_unit(cell: str) -> CountedUnit | None:
    """The unit in which a number is a time of the years 2001 to 2100; None if there is none.

    >>> dated_unit("1763712000"), dated_unit("1763712000000000"), dated_unit("17")
    ('s', 'us', None)
    """
    try:
        number = float(cell)
    except ValueError:
        return None
    return next((unit for least, unit in _FROM if least <= number < least * _LAST_YEAR), None)


def counted_unit(unit: Unit, cells: Sequence[str]) -> CountedUnit:
    """Decide what a file's numbers count, by the first of its timestamps.

    By the size of the first one, if it is a time of the years 2001 to 2100 in seconds,
    milliseconds, microseconds or nanoseconds. Smaller ones, which name no date, are seconds (or
    the numbers of the rows) where they are less than 100 apart, else milliseconds.

    >>> counted_unit("auto", ["1763712000"]), counted_unit("auto", ["1763712000000"])
    ('s', 'ms')
    >>> counted_unit("auto", ["0", "0.5", "1"]), counted_unit("auto", ["0", "1000"])
    ('s', 'ms')
    """
    if unit != "auto":
        return unit
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return "ms"
    dated = dated_unit(cells[0]) if cells else None
    if dated is not None:
        return dated
    steps = np.abs(np.diff(numbers))
    steps = steps[steps > 0]
    return "ms" if steps.size and np.median(steps) >= _LEAST_STEP_MS else "s"
