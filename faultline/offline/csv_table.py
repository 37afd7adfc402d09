"""Reads a CSV file into a table. The format itself is `faultline.sources.delimited`'s."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultline.errors import InvalidReading
from faultline.offline.table import CountedUnit, InvalidTable, Layout, Table, counted_unit
from faultline.readings import check_machine_id, field_of
from faultline.sources import delimited
from faultline.sources.delimited import Delimited

_TEXT = "holds text, no numbers"


def read_csv(path: Path, layout: Layout, wanted: Sequence[str] | None) -> Table:
    """Read a whole file; see `faultline.offline.reading.read_table`.

    Raises
    ------
    InvalidCsv, InvalidTable
        Naming file, line and column.
    """
    with delimited.opened(path) as text, delimited.telling(path):
        return _Reader(path, layout, wanted).read(text)


@dataclass
class _Reader:
    path: Path
    layout: Layout
    wanted: Sequence[str] | None
    timestamps: list[str] = field(default_factory=list)
    times_ms: array[int] = field(default_factory=lambda: array("q"))
    machine_ids: list[str] = field(default_factory=list)
    known_machines: set[str] = field(default_factory=set)
    lines: array[int] = field(default_factory=lambda: array("q"))
    faulty: array[int] = field(default_factory=lambda: array("b"))
    cells: array[float] = field(default_factory=lambda: array("d"))
    left_out: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    unit: CountedUnit = "ms"

    def read(self, text: io.TextIOBase) -> Table:
        source = delimited.begin(self.path, text)
        self.columns = source.header
        timestamp = self._position(source, self.layout.timestamp_column, "--timestamp-column")
        machine = (
            None
            if self.layout.machine_column is None
            else self._position(source, self.layout.machine_column, "--machine-column")
        )
        fault = None
        if self.wanted is None and self.layout.has_faults(source.header):
            fault = source.header.index(self.layout.fault_column)
        stamps = [row[timestamp] for row in source.head if timestamp < len(row)]
        self.unit = counted_unit(self.layout.timestamp_unit, stamps)
        sensors = self._sensors(source)
        pick = _picker([source.header.index(name) for name in sensors])
        width = len(source.header)
        for line, row in enumerate(source.rows, start=2):
            if not row:
                continue
            delimited.check_width(self.path, line, row, width)
            try:
                self.times_ms.append(delimited.timestamp_ms(row[timestamp].strip(), self.unit))
                if machine is not None:
                    self._machine(row[machine])
            except InvalidReading as error:
                told = self.layout.timestamp_column
                if field_of(str(error)) == "machine_id" and self.layout.machine_column:
                    told = self.layout.machine_column
                wrong = str(error).removeprefix("timestamp: ")
                raise InvalidTable(f"{self.path}: line {line}, column {told!r}: {wrong}") from error
            self.timestamps.append(row[timestamp])
            self.lines.append(line)
            if fault is not None:
                self.faulty.append(delimited.names_fault(row[fault]))
            cells = pick(row)
            if source.decimal_comma:
                cells = [cell.replace(",", ".") for cell in cells]
            self.cells.extend(self._numbers(cells, sensors, line))
        return self._table(sensors, machine is not None, fault is not None)

    def _position(self, source: Delimited, name: str, option: str) -> int:
        return delimited.position(self.path, source.header, name, option)

    def _sensors(self, source: Delimited) -> tuple[str, ...]:
        roles = self.layout.roles()
        if self.wanted is not None:
            header = set(source.header) - set(roles) - set(self.layout.ignore)
            return tuple(name for name in self.wanted if name in header)
        texts = delimited.text_columns(source)
        sensors = []
        for index, name in enumerate(source.header):
            if not name:
                self.left_out["(no name)"] = "has no name, as a table's index that was written too"
            elif name in self.layout.ignore:
                self.left_out[name] = "ignored, as asked for"
            elif name == self.layout.fault_column and name not in roles[:-1]:
                self.left_out[name] = "names the fault of a row"
            elif index in texts:
                if name not in roles:
                    self.left_out[name] = _TEXT
            elif name not in roles:
                sensors.append(name)
        return tuple(sensors)

    def _machine(self, machine_id: str) -> None:
        if machine_id not in self.known_machines:
            check_machine_id(machine_id)
            self.known_machines.add(machine_id)
        self.machine_ids.append(machine_id)

    def _numbers(self, cells: Sequence[str], sensors: Sequence[str], line: int) -> list[float]:
        try:
            numbers = list(map(float, cells))
        except ValueError:
            return self._one_by_one(cells, sensors, line)
        # Python reads 1_0 as a number; nobody's measurements are written so.
        return self._one_by_one(cells, sensors, line) if "_" in "".join(cells) else numbers

    def _one_by_one(self, cells: Sequence[str], sensors: Sequence[str], line: int) -> list[float]:
        numbers = []
        for column, cell in enumerate(cells):
            try:
                value = delimited.number(cell, decimal_comma=False)
            except ValueError:
                if not self._is_text(column, sensors):
                    learns = self.wanted is None
                    raise delimited.no_number(
                        self.path, line, sensors[column], cell, may_ignore=learns
                    ) from None
                value = None
            numbers.append(np.nan if value is None else value)
        return numbers

    def _is_text(self, column: int, sensors: Sequence[str]) -> bool:
        """Whether a column that has text has had no number so far: then it never will."""
        if self.wanted is not None:
            return False
        if sensors[column] not in self.left_out:
            if not np.isnan(np.array(self.cells[column :: len(sensors)])).all():
                return False
            self.left_out[sensors[column]] = _TEXT
        return True

    def _table(self, sensors: tuple[str, ...], has_machines: bool, has_faults: bool) -> Table:
        values = np.array(self.cells, dtype=np.float64).reshape(len(self.lines), len(sensors))
        kept = [column for column, name in enumerate(sensors) if name not in self.left_out]
        return Table(
            path=self.path,
            columns=self.columns,
            timestamps=self.timestamps,
            timestamps_ms=_whole(self.times_ms),
            timestamp_unit=self.unit,
            machine_ids=self.machine_ids if has_machines else None,
            sensors=tuple(sensors[column] for column in kept),
            values=values if len(kept) == len(sensors) else values[:, kept],
            left_out=self.left_out,
            lines=_whole(self.lines),
            place="line",
            faulty=np.array(self.faulty, dtype=np.bool_) if has_faults else None,
        )


def _whole(numbers: array[int]) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def _picker(positions: list[int]) -> Callable[[list[str]], Sequence[str]]:
    first = positions[0] if positions else 0
    last = first + len(positions)
    if positions == list(range(first, last)):
        return lambda row: row[first:last]
    pick = itemgetter(*positions)
    # Of one position it would give the cell alone.
    return pick if len(positions) > 1 else lambda row: [pick(row)]
