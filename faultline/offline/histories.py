"""Makes machines' histories of tables: rows joined per machine, in time order, each time once.

It decides nothing about sensors; the fit does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.errors import UntrainableHistory
from faultline.offline.table import Table
from faultline.rows import take


@dataclass(frozen=True, eq=False)
class Histories:
    """What a fit can learn from.

    Attributes
    ----------
    sensors
        The columns of every history, sorted, as the trainer has them.
    machines
        One per machine, by id.
    left_out_columns
        Columns that no file holds numbers in: name to reason.
    rows_read
        Rows of all files.
    empty_rows, doubled_rows, faulty_rows
        How many of them were left out because they have no value, a time that a row before of the
        same machine has, or a fault that the file names.
    """

    sensors: tuple[str, ...]
    machines: tuple[MachineHistory, ...]
    left_out_columns: dict[str, str]
    rows_read: int
    empty_rows: int
    doubled_rows: int
    faulty_rows: int = 0


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one machine: of which table, where in it, when, and what."""

    table: NDArray[np.int64]
    row: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        return _Rows(self.table[rows], self.row[rows], self.times_ms[rows], self.values[rows])


def join(tables: Sequence[Table], machine: str) -> Histories:
    """Join the rows of files into one history per machine.

    A time that a file repeats counts once, as in a stream: the first row stays. Rows for which a
    fault is named are left out, as the trainer leaves out what a label covers: to the fit they are
    a silence.

    Parameters
    ----------
    tables
        At least one.
    machine
        Whose rows they are in a table without a machine column.

    Raises
    ------
    UntrainableHistory
        When there is no row with a value, or two files have other values for the same machine and
        time: they are of different machines.
    """
    sensors = tuple(sorted({name for table in tables for name in table.sensors}))
    of_machine: dict[str, list[_Rows]] = {}
    empty = faulty = 0
    for index, table in enumerate(tables):
        values = take(table.sensors, table.values, sensors)
        kept = table.filled()
        empty += int(len(table) - kept.sum())
        if table.faulty is not None:
            faulty += int((kept & table.faulty).sum())
            kept &= ~table.faulty
        for machine_id, rows in table.rows_by_machine(machine).items():
            own = rows[kept[rows]]
            of_machine.setdefault(machine_id, []).append(
                _Rows(np.full(len(own), index), own, table.timestamps_ms[own], values[own])
            )
    histories: list[MachineHistory] = []
    doubled = 0
    for machine_id, parts in sorted(of_machine.items()):
        ordered = _sorted(parts)
        unique = _without_doubles(ordered, tables)
        doubled += len(ordered.row) - len(unique.row)
        if len(unique.row):
            histories.append(MachineHistory(machine_id, unique.times_ms, unique.values))
    if not histories:
        raise UntrainableHistory(
            f"a fault is named for every row ({faulty:,}) that has a value; nothing healthy is "
            "left to learn from"
            if faulty
            else "no row of the input holds a value"
        )
    left_out = {
        name: reason
        for table in tables
        for name, reason in table.left_out.items()
        if name not in sensors
    }
    read = sum(len(table) for table in tables)
    return Histories(sensors, tuple(histories), left_out, read, empty, doubled, faulty)


def _sorted(parts: Sequence[_Rows]) -> _Rows:
    rows = _Rows(
        np.concatenate([part.table for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
    if (np.diff(rows.times_ms) > 0).all():
        return rows
    return rows.take(np.argsort(rows.times_ms, kind="stable"))


def _without_doubles(rows: _Rows, tables: Sequence[Table]) -> _Rows:
    again = np.flatnonzero(np.diff(rows.times_ms) == 0) + 1
    for row in again.tolist():
        other_file = rows.table[row] != rows.table[row - 1]
        if other_file and not np.array_equal(
            rows.values[row], rows.values[row - 1], equal_nan=True
        ):
            first, second = (_at(rows, tables, index) for index in (row - 1, row))
            raise UntrainableHistory(
                f"{first} and {second} have the same timestamp but other values; if the files are "
                "of different machines, put them into one file with a column that names the "
                "machine and name that with --machine-column"
            )
    if not again.size:
        return rows
    return rows.take(np.setdiff1d(np.arange(len(rows.row)), again))


def _at(rows: _Rows, tables: Sequence[Table], index: int) -> str:
    return tables[int(rows.table[index])].at(int(rows.row[index]))
