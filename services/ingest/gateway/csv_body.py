"""Takes a body of CSV apart: a column of times, of machines, and one per sensor."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from faultline.errors import InvalidReading
from faultline.readings import (
    DEFAULT_MACHINE_TYPE,
    MAX_SENSORS,
    Decoded,
    Reading,
    Refusal,
    make_reading,
)
from faultline.readings.decoding import Hold
from faultline.readings.refusal import short
from faultline.sources import delimited
from faultline.sources.delimited import Delimited, InvalidCsv

_TIMESTAMP, _MACHINE, _TYPE = "timestamp", "machine_id", "machine_type"
_BODY = "body"


class CsvOptions(NamedTuple):
    """What a table does not say itself.

    Attributes
    ----------
    machine_id, machine_type
        Where there is no such column, or its cell is empty.
    ignore
        Columns that are no sensors.
    """

    machine_id: str | None = None
    machine_type: str = DEFAULT_MACHINE_TYPE
    ignore: Sequence[str] = ()


class _Columns(NamedTuple):
    timestamp: int
    machine: int | None
    machine_type: int | None
    sensors: tuple[tuple[int, str], ...]


def decode_csv(
    value: bytes,
    options: CsvOptions = CsvOptions(),  # noqa: B008 - of values
    hold: Hold = lambda _: None,
) -> Decoded:
    """Take a table apart: its first line names the columns, each further one is a reading.

    Every column but ``timestamp``, ``machine_id``, ``machine_type`` and those to ignore is a
    sensor. An empty cell is a missing value. Separators and numbers are those of CSV files.

    Parameters
    ----------
    hold
        Told what each refusal takes.

    Returns
    -------
    Decoded
        A refusal names the line and the field; positions count the rows that are not empty.

    Raises
    ------
    InvalidReading
        When there is no header that can be used, or the text is no table.
    """
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = value.count(b"\n", 0, error.start) + 1
        raise InvalidReading(f"body: line {line} is not UTF-8 text") from error
    try:
        table = delimited.begin(_BODY, io.StringIO(text, newline=""), _max_columns(options))
        decoded = _decoded(table, _columns(table.header, options), options, hold)
    except (InvalidCsv, csv.Error) as error:
        raise InvalidReading(str(error)) from error
    if not decoded.readings and not decoded.refusals:
        raise InvalidReading("body: there is no row below the header; send at least one")
    return decoded


def _max_columns(options: CsvOptions) -> int:
    return MAX_SENSORS + len({_TIMESTAMP, _MACHINE, _TYPE}.union(options.ignore))


def _columns(header: Sequence[str], options: CsvOptions) -> _Columns:
    known = {name: header.index(name) for name in (_TIMESTAMP, _MACHINE, _TYPE) if name in header}
    if _TIMESTAMP not in known:
        raise InvalidReading(f"body: line 1: {delimited.lacks(header, _TIMESTAMP)}")
    if _MACHINE not in known and options.machine_id is None:
        raise InvalidReading(
            f"body: line 1: {delimited.lacks(header, _MACHINE)}. Name the machine with ?machine_id="
        )
    ignored = frozenset(options.ignore)
    for name in sorted(ignored.difference(header)):
        raise InvalidReading(f"body: line 1: {delimited.lacks(header, name)}, to be ignored")
    sensors = tuple(
        (index, name)
        for index, name in enumerate(header)
        if name not in known and name not in ignored
    )
    if not sensors:
        raise InvalidReading("body: line 1 names no sensor; each has a column of its own")
    return _Columns(known[_TIMESTAMP], known.get(_MACHINE), known.get(_TYPE), sensors)


def _decoded(table: Delimited, columns: _Columns, options: CsvOptions, hold: Hold) -> Decoded:
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    for line, row in enumerate(table.rows, start=2):
        if not row:
            continue
        try:
            readings.append(_reading(line, row, table, columns, options))
        except (InvalidReading, InvalidCsv) as error:
            refusal = Refusal(len(readings) + len(refusals), str(error))
            hold(refusal.size_bytes)
            refusals.append(refusal)
    return Decoded(readings, refusals)


def _reading(
    line: int, row: Sequence[str], table: Delimited, columns: _Columns, options: CsvOptions
) -> Reading:
    delimited.check_width(_BODY, line, row, len(table.header))
    machine_id = "" if columns.machine is None else row[columns.machine]
    machine_type = "" if columns.machine_type is None else row[columns.machine_type].strip()
    try:
        return make_reading(
            machine_id or options.machine_id or "",
            delimited.timestamp_ms(row[columns.timestamp].strip(), "ms"),
            {name: _number(row[index], name, table) for index, name in columns.sensors},
            machine_type or options.machine_type,
        )
    except InvalidReading as error:
        raise InvalidReading(f"{error} (line {line})") from error


def _number(cell: str, column: str, table: Delimited) -> float | None:
    try:
        return delimited.number(cell, table.decimal_comma)
    except ValueError:
        raise InvalidReading(
            f"sensors.{column}: {short(cell)} is not a number; leave a missing value empty; "
            "a column that is no sensor is left out with ?ignore="
        ) from None
