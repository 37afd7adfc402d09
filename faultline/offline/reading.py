"""Reads a file into a table, whatever its format is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultline.offline.csv_table import read_csv
from faultline.offline.table import InvalidTable, Layout, Table, checked
from faultline.sources.recording import is_parquet


def read_table(path: Path, layout: Layout, wanted: Sequence[str] | None = None) -> Table:
    """Read a CSV file (separated by comma, semicolon or tab, also gzip) or a Parquet file.

    Parameters
    ----------
    wanted
        Sensors to read, in this order, as far as they are there; each must hold numbers. None:
        every column of numbers, and what else there is, is told in `Table.left_out`.

    Raises
    ------
    FaultlineError
        Naming file, line (or row) and column of what is wrong.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InvalidTable(f"{path}: is a pipe or a device; write it to a file first and give that")
    try:
        parquet = is_parquet(path)
    except OSError as error:
        raise InvalidTable(f"{path}: cannot be opened: {error.strerror}") from error
    if parquet:
        from faultline.offline.parquet_table import read_parquet  # noqa: PLC0415 - for Parquet only

        table = read_parquet(path, layout, wanted)
    else:
        table = read_csv(path, layout, wanted)
    if not len(table):
        raise InvalidTable(f"{path}: there are no rows")
    if not table.sensors:
        missing = (
            f"no column holds numbers besides {layout.timestamp_column!r}"
            if wanted is None
            else f"it has none of the model's sensors, which are {', '.join(wanted)}"
        )
        raise InvalidTable(f"{path}: {missing}; the columns are {', '.join(table.columns)}")
    return checked(table)
