"""Files of readings, whatever their format: what they have in common, and several as one stream."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from faultline.readings import DEFAULT_MACHINE_TYPE, Reading

_PARQUET_MAGIC = b"PAR1"


class LabelledReading(NamedTuple):
    """A reading and what its row says is wrong; ``""`` is healthy, or no such column."""

    reading: Reading
    fault: str


class Placed(NamedTuple):
    """A row and where it stands.

    Attributes
    ----------
    file
        Index of the file.
    place
        Number of the row in it, the first is 1.
    """

    file: int
    place: int
    row: LabelledReading


@dataclass(frozen=True)
class Recording(ABC):
    """A file of one machine, or of several told apart by a column.

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

    @abstractmethod
    def placed(self, after: int = 0) -> Iterator[tuple[int, LabelledReading]]:
        """Yield the rows behind row `after`, in the order of the file, each with its number.

        Raises
        ------
        FaultlineError
            Naming file, place and column, when there is no such file, no such column, a cell that
            is no number, or a value that the limits of readings forbid.
        """

    @abstractmethod
    def sensors(self) -> tuple[str, ...]:
        """Names of the columns that are read as sensors, in the order of the file."""

    @abstractmethod
    def texts(self) -> tuple[str, ...]:
        """Names of the columns that are left out as they hold no numbers, as in the file."""

    @abstractmethod
    def count_rows(self) -> int:
        """Count the rows without reading them as numbers: for a progress bar."""

    def rows(self) -> Iterator[LabelledReading]:
        """Yield the readings, each with its row's fault. Raises as `placed` does."""
        return (row for _, row in self.placed())

    def readings(self) -> Iterator[Reading]:
        """Yield the readings in the order of the file. Raises as `placed` does."""
        return (row.reading for row in self.rows())

    def first_timestamp_ms(self) -> int | None:
        """Milliseconds since the epoch of the first row, shifted; None for a file without rows."""
        return next((reading.timestamp_ms for reading in self.readings()), None)


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does; raises `OSError` when it cannot be opened."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


def placed(files: Sequence[Recording], after: Sequence[int]) -> Iterator[Placed]:
    """Yield the rows of several files as one stream in time order.

    Each file is taken to be in time order itself; rows of a file keep their order in any case. The
    order behind some rows is the same whether they are read or left out.

    Parameters
    ----------
    after
        Of each file, the number of the row behind which to begin.
    """

    def of_file(index: int) -> Iterator[Placed]:
        for place, row in files[index].placed(after[index]):
            yield Placed(index, place, row)

    return heapq.merge(
        *(of_file(index) for index in range(len(files))),
        key=lambda placed: placed.row.reading.timestamp_ms,
    )


def merged(files: Sequence[Recording]) -> Iterator[LabelledReading]:
    """Yield the rows of several files, whole, as one stream in time order; see `placed`."""
    return (each.row for each in placed(files, [0] * len(files)))
