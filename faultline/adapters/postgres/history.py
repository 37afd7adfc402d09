"""Reads readings in volume: COPY out, decoded in blocks, straight into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from faultline.adapters.postgres.bulk import copy_out
from faultline.adapters.postgres.cancellation import cancellable
from faultline.adapters.postgres.columns import to_moment
from faultline.ports.jobs import Period
from faultline.ports.stores import HistoryQuery, MachineRows, TimeRange, require_sensors

# Rows that are Python objects at the same time; the rest is in arrays.
_BLOCK_ROWS = 8_192
# A long history of one machine may take longer than a query of a page should.
_LONG = "SET LOCAL statement_timeout = '10min'"
_MILLISECONDS = "(extract(epoch FROM timestamp) * 1000)::bigint"
_decoder = msgspec.json.Decoder(list[dict[str, float | None]])


class Span(NamedTuple):
    """Which rows of a machine; None is open or all, ends are excluded."""

    start_ms: int | None = None
    end_ms: int | None = None
    machine_type: str | None = None
    sensors: Sequence[str] | None = None
    excluded: Sequence[Period] = ()
    max_rows: int | None = None
    max_sensors: int | None = None


def span_of(query: HistoryQuery) -> Span:
    """Which rows of each of its machines a query asks for."""
    return Span(
        query.start_ms,
        query.end_ms,
        query.machine_type,
        query.sensors,
        query.excluded,
        query.max_rows,
        query.max_sensors,
    )


def read_rows(connection: Connection, machine_id: str, span: Span) -> MachineRows:
    """Read one machine's readings, in time order.

    Raises `UntrainableHistory` when it has more sensors than `span` allows.
    """
    connection.execute(text(_LONG))
    collector = _Collector(machine_id, span.max_sensors)
    query, parameters = _query(machine_id, span)
    cancellable(
        connection.connection, lambda: copy_out(connection, query, parameters, collector.take)
    )
    return collector.rows()


def newest_range(connection: Connection, query: HistoryQuery, rows: int) -> TimeRange | None:
    """See `faultline.ports.stores.FleetStore.newest_range`.

    The server sorts times only, and looks at no reading where the machines' counts say that there
    are not so many.
    """
    conditions, parameters = _conditions(span_of(query))
    if query.machines is not None:
        conditions.append("machine_id = ANY(%(machines)s)")
        parameters["machines"] = list(query.machines)
    parameters |= {"rows": rows, "of_type": [query.machine_type]}
    connection.execute(text(_LONG))
    statement = (
        "SELECT count(*), min(at), max(at) FROM ("  # noqa: S608 - values are bound
        f"SELECT {_MILLISECONDS} AS at FROM readings WHERE {' AND '.join(conditions)} AND ("
        "SELECT sum(readings) > %(rows)s FROM machines WHERE machine_types @> %(of_type)s"
        ") ORDER BY timestamp DESC LIMIT %(rows)s + 1) AS newest"
    )
    found = cancellable(
        connection.connection, lambda: connection.exec_driver_sql(statement, parameters).one()
    )
    return TimeRange(found[1] + 1, found[2] + 1) if found[0] > rows else None


def _query(machine_id: str, span: Span) -> tuple[str, dict[str, Any]]:
    conditions, parameters = _conditions(span)
    conditions.append("machine_id = %(machine_id)s")
    parameters["machine_id"] = machine_id
    sensors = "sensors"
    if span.sensors is not None:
        sensors = (
            "(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(sensors)"
            " WHERE key = ANY(%(sensors)s))"
        )
        parameters["sensors"] = list(span.sensors)
    query = (
        f"SELECT {_MILLISECONDS}, {sensors} "  # noqa: S608 - values are bound
        f"FROM readings WHERE {' AND '.join(conditions)} ORDER BY timestamp"
    )
    if span.max_rows is not None:
        query += " LIMIT %(max_rows)s"
        parameters["max_rows"] = span.max_rows
    return query, parameters


def _conditions(span: Span) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if span.machine_type is not None:
        conditions.append("machine_type = %(machine_type)s")
        parameters["machine_type"] = span.machine_type
    if span.start_ms is not None:
        conditions.append("timestamp >= %(start)s")
        parameters["start"] = to_moment(span.start_ms)
    if span.end_ms is not None:
        conditions.append("timestamp < %(end)s")
        parameters["end"] = to_moment(span.end_ms)
    for number, period in enumerate(span.excluded):
        start, end = f"excluded_from_{number}", f"excluded_to_{number}"
        conditions.append(f"NOT (timestamp >= %({start})s AND timestamp < %({end})s)")
        parameters[start] = to_moment(period.start_ms)
        parameters[end] = to_moment(period.end_ms)
    return conditions, parameters


class _Block(NamedTuple):
    sensors: list[str]
    values: NDArray[np.float64]


class _Collector:
    """Makes arrays of lines as they come, a block at a time."""

    def __init__(self, machine_id: str, max_sensors: int | None) -> None:
        self._machine_id = machine_id
        self._max_sensors = max_sensors
        self._names: set[str] = set()
        self._times: list[int] = []
        self._documents: list[bytes] = []
        self._blocks: list[_Block] = []

    def take(self, line: bytes) -> None:
        """One row: milliseconds, a tab, the sensors as JSON, the line's end."""
        milliseconds, _, document = line.partition(b"\t")
        self._times.append(int(milliseconds))
        self._documents.append(document)
        if len(self._documents) == _BLOCK_ROWS:
            self._close_block()

    def rows(self) -> MachineRows:
        """All that was taken, with the columns of all blocks."""
        if self._documents:
            self._close_block()
        sensors = sorted(self._names)
        values = np.full((len(self._times), len(sensors)), np.nan)
        column_of = {name: column for column, name in enumerate(sensors)}
        first = 0
        for block in self._blocks:
            last = first + len(block.values)
            values[first:last, [column_of[name] for name in block.sensors]] = block.values
            first = last
        return MachineRows(
            machine_id=self._machine_id,
            sensors=tuple(sensors),
            timestamps_ms=np.array(self._times, dtype=np.int64),
            values=values,
        )

    def _close_block(self) -> None:
        # COPY doubles the backslashes of the JSON, and escapes nothing else that is in it.
        joined = b",".join(self._documents).replace(b"\\\\", b"\\")
        rows = _decoder.decode(b"[" + joined + b"]")
        self._documents.clear()
        names = sorted(set().union(*rows))
        # Before the values become arrays, whose width is the number of names.
        self._names.update(names)
        require_sensors(self._machine_id, len(self._names), self._max_sensors)
        if all(len(row) == len(names) for row in rows):
            # All rows have all names, and jsonb keeps names in one order of its own.
            names = list(rows[0])
            values = [list(row.values()) for row in rows]
        else:
            values = [[row.get(name) for name in names] for row in rows]
        # NumPy makes NaN of None.
        self._blocks.append(
            _Block(names, np.array(values, dtype=np.float64).reshape(len(rows), len(names)))
        )
