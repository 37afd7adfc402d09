"""How a reading's values are best stored: as JSONB, or as float8[] beside a table of layouts.

Starts the real PostgreSQL, stores the same readings in both forms by the recorder's way (COPY into
a temporary table, INSERT ... ON CONFLICT DO NOTHING), and reads them back. The forms take turns;
bench/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray
from sqlalchemy import Connection, NullPool, create_engine, text

from bench.table import table
from faultline.adapters.postgres.bulk import copy_in, copy_out
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.readings import Reading, make_reading

MACHINES = 50
SENSORS = tuple(f"sensor_{number:02}" for number in range(16))
START_MS = 1_795_000_000_000
DECIMALS: Mapping[str, int] = {"3 decimals": 3, "12 decimals": 12}
BATCH = 5_000
ASKED = 20

_AT = "'epoch'::timestamptz + at_ms * interval '1 millisecond'"
_HOUR = (
    "machine_id = 'machine-07' AND timestamp >= 'epoch'::timestamptz"
    f" + {START_MS} * interval '1 millisecond' AND timestamp < 'epoch'::timestamptz"
    f" + {START_MS + 3_600_000} * interval '1 millisecond'"
)
_WAL = text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
_encoder = msgspec.json.Encoder()


class Form(NamedTuple):
    """One way to keep the values of a reading.

    Attributes
    ----------
    columns
        Names and types of what holds them.
    encode
        Values of a reading to fields of COPY.
    direct, per_value, whole
        Queries of an hour of one machine: one sensor as an expression, one sensor through a row
        for each value (as a view gives it), all sensors.
    decode
        Lines of `whole` to an array of shape (rows, sensors).
    """

    columns: Mapping[str, str]
    encode: Callable[[Reading], str]
    direct: str
    per_value: str
    whole: str
    decode: Callable[[Sequence[bytes]], NDArray[np.float64]]


def to_document(reading: Reading) -> str:
    """Values as a JSON object."""
    return _encoder.encode(reading.sensors).decode()


def to_array(reading: Reading) -> str:
    """The number of the layout, and the values as an array of PostgreSQL's."""
    values = _encoder.encode(list(reading.sensors.values())).decode()
    # The data has one layout; a recorder would look its number up, and sort the values.
    return f"1\t{{{values[1:-1]}}}"


def of_documents(lines: Sequence[bytes]) -> NDArray[np.float64]:
    """Values of JSON objects that all have the same names."""
    rows = msgspec.json.decode(b"[" + b",".join(lines) + b"]", type=list[dict[str, float]])
    return np.array([list(row.values()) for row in rows])


def of_arrays(lines: Sequence[bytes]) -> NDArray[np.float64]:
    """Values of arrays of PostgreSQL's."""
    joined = b",".join(lines).replace(b"{", b"[").replace(b"}", b"]")
    return np.array(msgspec.json.decode(b"[" + joined + b"]", type=list[list[float]]))


FORMS: Mapping[str, Form] = {
    "JSONB": Form(
        columns={"sensors": "jsonb"},
        encode=to_document,
        direct=f"SELECT timestamp, (sensors ->> 'sensor_07')::float8 FROM kept WHERE {_HOUR}",
        per_value="SELECT timestamp, value::float8 FROM kept, jsonb_each_text(sensors)"
        f" AS part (sensor, value) WHERE sensor = 'sensor_07' AND {_HOUR}",
        whole=f"SELECT sensors FROM kept WHERE {_HOUR} ORDER BY timestamp",
        decode=of_documents,
    ),
    "float8[] and layout": Form(
        columns={"layout_id": "integer", "measured": "float8[]"},
        encode=to_array,
        direct="SELECT timestamp, measured[array_position(names, 'sensor_07')]"
        f" FROM kept JOIN layouts USING (layout_id) WHERE {_HOUR}",
        per_value="SELECT timestamp, value FROM kept JOIN layouts USING (layout_id),"
        f" unnest(names, measured) AS part (sensor, value) WHERE sensor = 'sensor_07' AND {_HOUR}",
        whole=f"SELECT measured FROM kept WHERE {_HOUR} ORDER BY timestamp",
        decode=of_arrays,
    ),
}
"""The contenders; the first is what Faultline does."""


class Figures(NamedTuple):
    """Of one form: bytes and microseconds per reading, milliseconds per hour of one machine.

    Times are of the CPU: `encode_us` this process's, `store_us` PostgreSQL's, of queries both.
    """

    table_bytes: float
    index_bytes: float
    wal_bytes: float
    encode_us: float
    store_us: float
    direct_ms: float
    per_value_ms: float
    whole_ms: float


def make_readings(count: int, decimals: int) -> list[Reading]:
    """Readings of all machines in the order of time; each machine has one a second."""
    values = np.random.default_rng(0).normal(100, 15, (count, len(SENSORS))).round(decimals)
    return [
        make_reading(
            f"machine-{number % MACHINES:02}",
            START_MS + number // MACHINES * 1_000,
            dict(zip(SENSORS, row, strict=True)),
            "pump",
        )
        for number, row in enumerate(values.tolist())
    ]


def measure(connection: Connection, form: Form, readings: Sequence[Reading]) -> Figures:
    """Store the readings in a new table, and read an hour of it."""
    make_tables(connection, form)
    server = psutil.Process(connection.scalar(text("SELECT pg_backend_pid()")))
    wal = connection.scalar(_WAL)
    begun_s = _cpu_s(server)
    encode_s = store(connection, form, readings)
    store_s = _cpu_s(server) - begun_s
    wal_bytes = connection.scalar(_WAL) - wal
    connection.execute(text("ANALYZE kept"))
    table_bytes, index_bytes = connection.execute(
        text("SELECT pg_table_size('kept_month'), pg_indexes_size('kept_month')")
    ).one()
    connection.commit()
    count = len(readings)
    return Figures(
        table_bytes / count,
        index_bytes / count,
        float(wal_bytes) / count,
        1e6 * encode_s / count,
        1e6 * store_s / count,
        _mean_ms(server, lambda: connection.execute(text(form.direct)).fetchall()),
        _mean_ms(server, lambda: connection.execute(text(form.per_value)).fetchall()),
        _mean_ms(server, lambda: whole_hour(connection, form)),
    )


def make_tables(connection: Connection, form: Form) -> None:
    """Make the tables anew, and empty."""
    columns = ", ".join(f"{name} {kind}" for name, kind in form.columns.items())
    for statement in (
        "DROP TABLE IF EXISTS kept, layouts, incoming",
        "CREATE TABLE layouts (layout_id integer PRIMARY KEY, names text[])",
        f"INSERT INTO layouts VALUES (1, '{{{','.join(SENSORS)}}}')",
        "CREATE TABLE kept (machine_id text, timestamp timestamptz(3), machine_type text NOT NULL,"
        f" {columns}, PRIMARY KEY (machine_id, timestamp)) PARTITION BY RANGE (timestamp)",
        "CREATE TABLE kept_month PARTITION OF kept DEFAULT",
        "CREATE TEMPORARY TABLE incoming (position integer, machine_id text, at_ms bigint,"
        f" machine_type text, {columns}) ON COMMIT DELETE ROWS",
    ):
        connection.execute(text(statement))
    connection.commit()


def store(connection: Connection, form: Form, readings: Sequence[Reading]) -> float:
    """Store the readings; returns the seconds that encoding took."""
    names = ", ".join(form.columns)
    insert = text(
        f"INSERT INTO kept (machine_id, timestamp, machine_type, {names})"
        f" SELECT machine_id, {_AT}, machine_type, {names} FROM incoming"
        " ORDER BY machine_id, at_ms, position ON CONFLICT DO NOTHING"
    )
    encode_s = 0.0
    for first in range(0, len(readings), BATCH):
        begun_s = time.process_time()
        lines = [
            f"{position}\t{reading.machine_id}\t{reading.timestamp_ms}\t{reading.machine_type}\t"
            f"{form.encode(reading)}"
            for position, reading in enumerate(readings[first : first + BATCH])
        ]
        encode_s += time.process_time() - begun_s
        copy_in(connection, "incoming", lines)
        connection.execute(insert)
        connection.commit()
    return encode_s


def whole_hour(connection: Connection, form: Form) -> NDArray[np.float64]:
    """All sensors of the machine in the hour, shape (rows, sensors), as the trainer reads them."""
    lines: list[bytes] = []
    copy_out(connection, form.whole, {}, lines.append)
    return form.decode(lines)


def _mean_ms(server: psutil.Process, ask: Callable[[], object]) -> float:
    begun_s = _cpu_s(server) + time.process_time()
    for _ in range(ASKED):
        ask()
    return 1e3 * (_cpu_s(server) + time.process_time() - begun_s) / ASKED


def _cpu_s(server: psutil.Process) -> float:
    used = server.cpu_times()
    return used.user + used.system


def best(turns: Sequence[Figures]) -> Figures:
    """Least of each figure over the turns."""
    return Figures(*map(min, zip(*turns, strict=True)))


def print_table(found: Mapping[tuple[str, str], Sequence[Figures]]) -> None:
    """Print the best of all turns."""
    header = [
        "form, values with",
        "table B",
        "index B",
        "WAL B",
        "encode us",
        "PostgreSQL us",
        "one sensor ms",
        "by a row per value ms",
        "all sensors ms",
    ]
    lines = [
        [
            f"{name}, {kind}",
            *(f"{value:.0f}" for value in of_it[:3]),
            *(f"{value:.1f}" for value in of_it[3:]),
        ]
        for (name, kind), turns in found.items()
        for of_it in (best(turns),)
    ]
    print(table(header, lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--readings", type=int, default=200_000, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    told = {kind: make_readings(given.readings, places) for kind, places in DECIMALS.items()}
    found: dict[tuple[str, str], list[Figures]] = {}
    with (
        TemporaryDirectory(prefix="faultline-bench-") as folder,
        Stack(Path(folder) / "home", Ports.free(), ("postgres",)) as stack,
        create_engine(stack.endpoints.database_url, poolclass=NullPool).connect() as connection,
    ):
        for _ in range(given.rounds):
            for kind, readings in told.items():
                for name, form in FORMS.items():
                    found.setdefault((name, kind), []).append(measure(connection, form, readings))
    print_table(found)


if __name__ == "__main__":
    main()
