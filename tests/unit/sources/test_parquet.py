from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.sources.csv import CsvFile
from faultline.sources.parquet import InvalidParquet, ParquetFile
from faultline.sources.recording import Recording, merged, placed

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))
BEGIN_MS = 1_767_571_200_000


def file(folder: Path, columns: dict[str, Any], *, group: int = 3, **options: Any) -> ParquetFile:
    path = folder / "rig.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return ParquetFile(path, "rig-1", "rig", **options)


def flows(recording: Recording, after: int = 0) -> list[tuple[int, float | None]]:
    return [(place, row.reading.sensors["flow"]) for place, row in recording.placed(after)]


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (pa.array([BEGIN], pa.timestamp("us", "UTC")), {}),
        (pa.array([BEGIN.astimezone(TOKYO)], pa.timestamp("ns", "+09:00")), {}),
        (pa.array([BEGIN.replace(tzinfo=None)], pa.timestamp("ns")), {}),
        (pa.array([BEGIN.date()], pa.date32()), {}),
        (["2026-01-05T00:00:00Z"], {}),
        ([BEGIN_MS], {}),
        ([BEGIN_MS / 1000], {"timestamp_unit": "s"}),
    ],
)
def test_every_type_of_time_is_understood(
    tmp_path: Path, times: Any, options: dict[str, Any]
) -> None:
    [reading] = file(tmp_path, {"timestamp": times, "flow": [1.0]}, **options).readings()
    assert reading.timestamp_ms == BEGIN_MS


def test_numbers_of_every_type_are_sensors_and_text_is_none(tmp_path: Path) -> None:
    columns = {
        "timestamp": [0],
        "whole": pa.array([3], pa.int16()),
        "money": [Decimal("1.25")],
        "open": [True],
        "note": ["a"],
        "left": [1.0],
    }
    recording = file(tmp_path, columns, ignore=("left",))
    [reading] = recording.readings()
    assert reading.sensors == {"whole": 3.0, "money": 1.25, "open": 1.0}
    assert recording.sensors() == ("whole", "money", "open")
    assert (reading.machine_id, reading.machine_type) == ("rig-1", "rig")


def test_null_and_nan_are_missing_and_a_row_of_them_is_skipped(tmp_path: Path) -> None:
    columns = {
        "timestamp": [0, 1, 2],
        "flow": [1.0, None, float("nan")],
        "heat": [None, None, 4.0],
    }
    readings = list(file(tmp_path, columns).readings())
    assert [reading.sensors for reading in readings] == [
        {"flow": 1.0, "heat": None},
        {"flow": None, "heat": 4.0},
    ]


@pytest.mark.parametrize("after", range(11))
def test_rows_behind_a_place_are_the_same_whatever_their_row_group(
    tmp_path: Path, after: int
) -> None:
    recording = file(tmp_path, {"timestamp": range(10), "flow": [float(n) for n in range(10)]})
    assert flows(recording, after) == flows(recording)[after:]
    assert recording.count_rows() == 10


def test_the_same_table_as_csv_and_as_parquet_is_the_same_rows(tmp_path: Path) -> None:
    parquet = file(
        tmp_path,
        {
            "timestamp": [BEGIN_MS, BEGIN_MS + 10, BEGIN_MS + 20],
            "unit": ["a", "b", "a"],
            "flow": [1.5, None, 3.0],
            "fault": ["", "leak", None],
            "heat": [1, 2, 3],
        },
        machine_column="unit",
        shift_ms=5,
    )
    path = tmp_path / "rig.csv"
    path.write_text(
        "timestamp,unit,flow,fault,heat\n"
        f"{BEGIN_MS},a,1.5,,1\n{BEGIN_MS + 10},b,,leak,2\n{BEGIN_MS + 20},a,3,,3\n"
    )
    csv = CsvFile(path, "rig-1", "rig", machine_column="unit", shift_ms=5)
    assert list(parquet.placed()) == list(csv.placed())


def test_files_of_both_formats_are_one_stream_and_so_is_the_rest_of_it(tmp_path: Path) -> None:
    parquet = file(tmp_path, {"timestamp": [0, 20, 40], "flow": [0.0, 2.0, 4.0]})
    path = tmp_path / "rig.csv"
    path.write_text("timestamp,flow\n10,1\n30,3\n")
    files = [parquet, CsvFile(path, "rig-2")]
    assert [row.reading.timestamp_ms for row in merged(files)] == [0, 10, 20, 30, 40]
    whole = list(placed(files, [0, 0]))
    assert list(placed(files, [2, 1])) == whole[3:]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"time": [0], "flow": [1.0]}, "no column 'timestamp'.*--timestamp-column"),
        ({"timestamp": [0], "note": ["a"]}, "no column holds numbers besides 'timestamp'"),
        ({"timestamp": [True], "flow": [1.0]}, "is of the type bool; it must hold times"),
        ({"timestamp": [0, 0, 0, 0, None], "flow": [1.0] * 5}, "row 5, .* is missing"),
        ({"timestamp": ["0", "0", "0", "soon"], "flow": [1.0] * 4}, "row 4, .*soon"),
        ({"timestamp": [0, 1], "flow": [1.0, float("inf")]}, "row 2: sensors.flow"),
    ],
)
def test_what_is_wrong_is_told_with_row_and_column(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidParquet, match=told):
        list(file(tmp_path, columns).rows())


def test_a_machine_without_a_name_is_refused(tmp_path: Path) -> None:
    columns = {"timestamp": [0], "unit": pa.array([None], pa.string()), "flow": [1.0]}
    with pytest.raises(InvalidParquet, match="row 1: machine_id"):
        list(file(tmp_path, columns, machine_column="unit").rows())


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    recording = file(tmp_path, {"timestamp": [0], "flow": [1.0]})
    recording.path.write_bytes(recording.path.read_bytes()[:-20])
    with pytest.raises(InvalidParquet, match="cannot be read as Parquet"):
        recording.count_rows()
