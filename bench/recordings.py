"""Labelled recordings for the benchmarks: where they lie and how their CSV files are read.

Labels are carried beside the values; nothing that fits or scores is given them.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Mask = NDArray[np.bool_]
HEALTHY_LABELS = ("", "0", "0.0")


class UnreadableData(Exception):
    """Data that is absent or not laid out as the benchmark needs; the text says which and where."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One file: the rows of one machine in time order.

    Attributes
    ----------
    name, group
        The file's stem, and its folder's name.
    sensors
        Names of the columns of `values`.
    timestamps_ms
        Shape (n,), int64.
    values
        Shape (n, d), float64.
    fault
        Shape (n,), text: what is labelled as wrong; empty on a healthy row.
    """

    name: str
    group: str
    sensors: tuple[str, ...]
    timestamps_ms: NDArray[np.int64]
    values: Rows
    fault: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, part: slice) -> Recording:
        """Take some of its rows."""
        return replace(
            self,
            timestamps_ms=self.timestamps_ms[part],
            values=self.values[part],
            fault=self.fault[part],
        )


def data_folder(name: str) -> Path:
    """Find the data set `name`: under FAULTLINE_DATA, or in shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("FAULTLINE_DATA", beside)) / name


def read_recording(
    path: Path, *, delimiter: str, label_column: str, ignored: frozenset[str]
) -> Recording:
    """Read one file: the first column is the time, the rest are sensors, but for the labels.

    Parameters
    ----------
    label_column
        Says what is wrong with a row; empty or zero on a healthy one.
    ignored
        Columns that are neither.

    Raises
    ------
    UnreadableData
        When the file has no rows or no labels, or a value is no number.
    """
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file, delimiter=delimiter)) or [[]]
    if label_column not in header or not lines:
        raise UnreadableData(f"{path} needs rows and the column {label_column!r}")
    label = header.index(label_column)
    columns = [
        column
        for column, name in enumerate(header)
        if column not in (0, label) and name not in ignored
    ]
    seconds, values = [], []
    for number, line in enumerate(lines, start=2):
        try:
            time = datetime.fromisoformat(line[0])
            values.append([float(line[column]) for column in columns])
            line[label]
        except (ValueError, IndexError) as error:
            raise UnreadableData(f"{path}, line {number}: {error}") from error
        seconds.append((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    return Recording(
        name=path.stem,
        group=path.parent.name,
        sensors=tuple(header[column] for column in columns),
        timestamps_ms=np.rint(1_000 * np.array(seconds)).astype(np.int64),
        values=np.array(values),
        fault=np.array(["" if line[label] in HEALTHY_LABELS else line[label] for line in lines]),
    )
