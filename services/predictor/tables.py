"""Takes MLflow's scoring formats apart into rows, by MLflow 2's and 3's protocol.

`dataframe_split`, `dataframe_records`, `instances`, `inputs` and CSV. Knows neither readings nor
models, and needs no pandas.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from faultline.errors import InvalidReading

Cell = float | str | None

MAX_CELLS = 2_000_000
"""A column's name is sent once for all rows, so a few bytes of a body can be a whole cell."""

_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ONE_OF = f"send a JSON object with exactly one of {', '.join(_FORMATS)}"
# What pandas reads as missing, and MLflow with it.
_MISSING = frozenset(
    ("", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)


@dataclass(frozen=True)
class Table:
    """Rows as they were sent.

    Attributes
    ----------
    columns
        None where the rows have no names for their cells, or each has its own.
    rows
        One per reading: cells by name, or in the order of the columns.
    params
        MLflow's `params`.
    is_text
        All cells are text, as in a CSV file.
    """

    rows: Sequence[Mapping[str, Cell]] | Sequence[Sequence[Cell]]
    columns: tuple[str, ...] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    is_text: bool = False


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[list[Cell]]
    columns: list[str | int] | None = None
    index: Any = None


_Rows = list[dict[str, Cell] | list[Cell]]
_Inputs = dict[str, list[Cell] | float | str | None] | _Rows


class _Body(msgspec.Struct):
    dataframe_split: _Split | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: list[dict[str, Cell]] | msgspec.UnsetType = msgspec.UNSET
    instances: _Rows | msgspec.UnsetType = msgspec.UNSET
    inputs: _Inputs | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Body)


def from_json(body: bytes) -> Table:
    """Take a body of `application/json` apart.

    Raises
    ------
    InvalidReading
        When it is none of the formats, or its rows differ in length.
    """
    decoded = _decoded(body)
    given = [name for name in _FORMATS if getattr(decoded, name) is not msgspec.UNSET]
    if len(given) != 1:
        raise InvalidReading(f"{', '.join(given) or 'none of the formats'} given; {_ONE_OF}")
    params = decoded.params or {}
    if isinstance(decoded.dataframe_split, _Split):
        split = decoded.dataframe_split
        return _table(split.data, _names(split.columns), params)
    content = getattr(decoded, given[0])
    if isinstance(content, dict):
        columns = [cells if isinstance(cells, list) else [cells] for cells in content.values()]
        _check_cells(len(columns), max(map(len, columns), default=0))
        if len(set(map(len, columns))) > 1:
            raise InvalidReading(f"{given[0]}: the columns differ in length")
        return _table(list(zip(*columns, strict=True)), tuple(content), params)
    return _table(content, None, params)


def from_csv(body: bytes) -> Table:
    """Take a body of `text/csv` apart: a line of names, then one line per row.

    Raises
    ------
    InvalidReading
        When it is no UTF-8, has no names, or a row has more or fewer cells than names.
    """
    try:
        # Not by lines first: a quoted cell may hold a line's end.
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, None)
        if not names:
            raise InvalidReading("the body is empty; send a line of names, then the rows")
        _check_cells(len(names), body.count(b"\n"))
        rows = [line for line in lines if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidReading(f"the body is no CSV file in UTF-8: {error}") from error
    _check_lengths(rows, len(names))
    # pandas writes its index as a first column without a name.
    first = 1 if not names[0] else 0
    return Table(
        rows=[[None if cell in _MISSING else cell for cell in row[first:]] for row in rows],
        columns=_unique(names[first:]),
        is_text=True,
    )


def _decoded(body: bytes) -> _Body:
    try:
        try:
            return _decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # MLflow's own client writes a missing value as NaN, which is not JSON.
            if b"NaN" not in body:
                raise
            return msgspec.convert(json.loads(body), _Body)
    except msgspec.ValidationError as error:
        raise InvalidReading(f"{error}; {_ONE_OF}") from error
    except RecursionError as error:
        raise InvalidReading("the body is nested too deeply to be a table") from error
    # Python refuses integers of thousands of digits with a plain ValueError.
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidReading(f"the body is no valid JSON: {error}") from error


def _names(columns: Sequence[str | int] | None) -> tuple[str, ...] | None:
    """Column names; None for pandas' numbers in the place of names."""
    if columns is None or list(columns) == list(range(len(columns))):
        return None
    return _unique([str(name) for name in columns])


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidReading(f"columns: {name!r} is there twice")
        seen.add(name)
    return tuple(names)


def _table(
    rows: Sequence[Mapping[str, Cell]] | Sequence[Sequence[Cell]],
    columns: tuple[str, ...] | None,
    params: Mapping[str, str],
) -> Table:
    if rows and not isinstance(rows[0], Mapping):
        width = len(rows[0]) if columns is None else len(columns)
        _check_cells(width, len(rows))
        _check_lengths(rows, width)
    elif any(not isinstance(row, Mapping) for row in rows):
        raise InvalidReading("some rows are objects and some are arrays; send one kind")
    return Table(rows, columns, params)


def _check_lengths(rows: Sequence[object], width: int) -> None:
    for number, row in enumerate(rows):
        if isinstance(row, Mapping):
            raise InvalidReading("some rows are objects and some are arrays; send one kind")
        assert isinstance(row, Sequence)
        if len(row) != width:
            raise InvalidReading(f"row {number}: {len(row)} cells, must be {width}")


def _check_cells(columns: int, rows: int) -> None:
    if columns * rows > MAX_CELLS:
        raise InvalidReading(
            f"{rows} rows of {columns} columns are more than {MAX_CELLS} cells; send fewer at once"
        )
