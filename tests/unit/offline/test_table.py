from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.errors import FaultlineError
from faultline.offline.reading import read_table
from faultline.offline.table import Layout, Table

NAN = float("nan")


def read(folder: Path, content: str | bytes, *wanted: str, **layout: Any) -> Table:
    path = folder / "rig.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, Layout(**layout), wanted or None)


def read_parquet(folder: Path, columns: dict[str, Any], *wanted: str, **layout: Any) -> Table:
    path = folder / "rig.parquet"
    pq.write_table(pa.table(columns), path)
    return read_table(path, Layout(**layout), wanted or None)


def test_a_table_has_a_row_for_each_line_in_the_files_order(tmp_path: Path) -> None:
    table = read(tmp_path, "timestamp,a,b\n2000,1,2\n1000,,4\n\n1000,5,NA\n")
    assert table.timestamps == ["2000", "1000", "1000"]
    assert table.timestamps_ms.tolist() == [2_000, 1_000, 1_000]
    np.testing.assert_array_equal(table.values, [[1, 2], [NAN, 4], [5, NAN]])
    assert table.lines.tolist() == [2, 3, 5]
    assert table.at(2).endswith("rig.csv: line 5")


@pytest.mark.parametrize(
    "text",
    [
        "timestamp;a;b\n1000;1,5;-2e-3\n",
        "timestamp\ta\tb\n1000\t1.5\t-0.002\n",
        gzip.compress(b"timestamp,a,b\n1000,1.5,-0.002\n", mtime=0),
        b"\xef\xbb\xbftimestamp,a,b\r\n1000, 1.5 ,-0.002\r\n",
    ],
)
def test_separator_decimal_comma_gzip_and_byte_order_mark_make_no_difference(
    tmp_path: Path, text: str | bytes
) -> None:
    table = read(tmp_path, text)
    assert table.sensors == ("a", "b")
    assert table.values.tolist() == [[1.5, -0.002]]


def test_what_is_no_sensor_is_left_out_with_its_reason(tmp_path: Path) -> None:
    table = read(
        tmp_path, "timestamp,site,row,fault,a\n1000,north,1,leak,2\n", ignore=("row", "absent")
    )
    assert table.sensors == ("a",)
    assert table.left_out == {
        "site": "holds text, no numbers",
        "row": "ignored, as asked for",
        "fault": "names the fault of a row",
    }


def test_a_column_without_a_name_is_no_sensor(tmp_path: Path) -> None:
    table = read(tmp_path, ",timestamp,a\n0,1000,1\n1,2000,2\n")
    assert table.sensors == ("a",)
    assert list(table.left_out) == ["(no name)"]


def test_a_column_that_is_empty_at_first_and_then_text_is_left_out(tmp_path: Path) -> None:
    empty = "".join(f"{row},1,\n" for row in range(200))
    table = read(tmp_path, f"timestamp,a,note\n{empty}200,1,checked\n201,2,7\n")
    assert table.sensors == ("a",)
    assert table.left_out == {"note": "holds text, no numbers"}
    assert table.values[-2:].tolist() == [[1.0], [2.0]]


def test_only_wanted_sensors_are_read_in_the_order_wanted(tmp_path: Path) -> None:
    table = read(tmp_path, "timestamp,a,junk,b\n1000,1,?,2\n", "b", "gone", "a")
    assert table.sensors == ("b", "a")
    assert table.values.tolist() == [[2, 1]]


def test_one_wanted_sensor_is_enough(tmp_path: Path) -> None:
    assert read(tmp_path, "timestamp,a,b\n1000,1,2\n", "b").values.tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("first", "unit", "expected_ms"),
    [
        ("1767225600", "auto", 1_767_225_600_000),
        ("1767225600.5", "auto", 1_767_225_600_500),
        ("1767225600000", "auto", 1_767_225_600_000),
        ("1767225600000000", "auto", 1_767_225_600_000),
        ("1767225600000000000", "auto", 1_767_225_600_000),
        ("1.001", "s", 1_001),
        ("17", "auto", 17_000),
        ("17", "s", 17_000),
        ("1767225600", "ms", 1_767_225_600),
        ("2026-01-01 00:00:00", "auto", 1_767_225_600_000),
        ("2026-01-01T01:00:00+01:00", "s", 1_767_225_600_000),
    ],
)
def test_a_timestamp_is_understood_by_its_size_or_as_said(
    tmp_path: Path, first: str, unit: str, expected_ms: int
) -> None:
    table = read(tmp_path, f"timestamp,a\n{first},1\n", timestamp_unit=unit)
    assert table.timestamps_ms.tolist() == [expected_ms]
    parquet = read_parquet(tmp_path, {"timestamp": [first], "a": [1.0]}, timestamp_unit=unit)
    assert parquet.timestamps_ms.tolist() == [expected_ms]


@pytest.mark.parametrize(
    ("first", "second", "second_ms"),
    [("0", "1", 1_000), ("0.5", "0.75", 750), ("0", "1000", 1_000)],
)
def test_numbers_too_small_for_a_date_are_seconds_or_by_their_steps_milliseconds(
    tmp_path: Path, first: str, second: str, second_ms: int
) -> None:
    table = read(tmp_path, f"timestamp,a\n{first},1\n{second},1\n")
    assert table.timestamps_ms[1] == second_ms
    parquet = read_parquet(tmp_path, {"timestamp": [float(first), float(second)], "a": [1.0, 1.0]})
    assert parquet.timestamps_ms[1] == second_ms


def test_a_line_of_blanks_is_no_row(tmp_path: Path) -> None:
    table = read(tmp_path, "timestamp,a\n1,1\n   \n\n2,2\n")
    assert table.lines.tolist() == [2, 5]


def test_parquet_numbers_are_timestamps_by_their_size(tmp_path: Path) -> None:
    for first in (1_767_225_600, 1_767_225_600.0, 1_767_225_600_000):
        table = read_parquet(tmp_path, {"timestamp": [first], "a": [1.0]})
        assert table.timestamps_ms.tolist() == [1_767_225_600_000]


def test_machines_are_told_apart_by_a_column(tmp_path: Path) -> None:
    table = read(tmp_path, "timestamp,unit,a\n1,p-2,1\n1,p-1,2\n2,p-2,3\n", machine_column="unit")
    rows = {name: rows.tolist() for name, rows in table.rows_by_machine("-").items()}
    assert rows == {"p-1": [1], "p-2": [0, 2]}
    assert table.sensors == ("a",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("\ntimestamp,flow\n", "line 1 is empty"),
        ("no table at all\n" * 9, "line 1 names one column only, 'no table at all'"),
        (",flow\n0,1\n", r"no column 'timestamp'; the columns are \(one without a name\), flow"),
        ("time,flow\n1,1\n", "no column 'timestamp'; the columns are time, flow.*--timestamp-col"),
        ("timestamp,flow,flow\n1,1,1\n", "names the column 'flow' twice"),
        ("timestamp,site\n1,north\n", "no column holds numbers besides 'timestamp'; .*site"),
        ("timestamp,flow\n", "there are no rows"),
        ("timestamp,flow\n1,1\n2,wet\n", "line 3, column 'flow': 'wet' is not a number"),
        ("timestamp,flow\n1,1\n2,1_0\n", "line 3, column 'flow': '1_0' is not a number"),
        ("timestamp,flow\n1,1\n2\n", "line 3 has 1 cell, the header 2"),
        ("timestamp,flow\n1,1\n\n2,inf\n", "line 4, column 'flow': .*inf.* finite number"),
        ("timestamp,flow\n1,1\n2,1e101\n", r"line 3, column 'flow': 1e\+101 must be"),
        ("timestamp,flow\n1,1\nnoon,1\n", "line 3, column 'timestamp': 'noon'"),
        ("timestamp,flow\n1,1\n,1\n", "line 3, column 'timestamp': ''"),
        (
            "timestamp,flow\n99e99,1\n",
            "line 2, column 'timestamp': '99e99', counted in s, is no time",
        ),
        (b"timestamp,flow\n1,\xff\xfe\n", "line 2 is not UTF-8 text .byte 0xff after '1,'"),
        (b"PK\x03\x04", "a zip archive or an Excel workbook"),
        (gzip.compress(b"timestamp,flow\n1,1\n", mtime=0)[:-9], "Compressed file ended"),
    ],
)
def test_what_is_wrong_with_a_csv_is_named_with_its_place(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(FaultlineError, match=rf"rig\.csv: .*{told}"):
        read(tmp_path, text)


def test_a_wanted_sensor_that_is_text_is_an_error_and_not_missing(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match=r"line 2, column 'a': 'north' is not a number"):
        read(tmp_path, "timestamp,a\n1,north\n", "a")


def test_a_file_without_any_wanted_sensor_says_which_were_wanted(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match=r"none of the model's sensors, which are x, y; .*a$"):
        read(tmp_path, "timestamp,a\n1,2\n", "x", "y")


def test_a_machine_column_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match=r"no column 'unit'.*--machine-column"):
        read(tmp_path, "timestamp,a\n1,2\n", machine_column="unit")
    with pytest.raises(FaultlineError, match="line 3, column 'unit': machine_id"):
        read(tmp_path, "timestamp,unit,a\n1,p,2\n2,,2\n", machine_column="unit")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match=r"nowhere\.csv: cannot be opened: No such file"):
        read_table(tmp_path / "nowhere.csv", Layout())
    with pytest.raises(FaultlineError, match="cannot be opened: Is a directory"):
        read_table(tmp_path, Layout())


def test_parquet_is_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)]
    columns = {
        "timestamp": pa.array(moments, pa.timestamp("us", "UTC")),
        "unit": ["p-1", "p-2"],
        "a": pa.array([1, None], pa.int32()),
        "b": pa.array([0.5, 1.5], pa.float32()),
        "site": ["north", "south"],
        "open": [True, False],
    }
    pq.write_table(pa.table(columns), tmp_path / "rig.csv")
    table = read_table(tmp_path / "rig.csv", Layout(machine_column="unit"))
    assert table.timestamps_ms.tolist() == [1_767_225_600_000, 1_767_225_601_000]
    assert table.machine_ids == ["p-1", "p-2"]
    assert table.sensors == ("a", "b", "open")
    np.testing.assert_array_equal(table.values, [[1, 0.5, 1], [NAN, 1.5, 0]])
    assert table.left_out == {"site": "holds string, no numbers"}
    assert table.at(1).endswith("rig.csv: row 2")


def test_a_parquet_timestamp_without_a_zone_is_utc(tmp_path: Path) -> None:
    moment = pa.array([datetime(2026, 1, 1)], pa.timestamp("ns"))  # noqa: DTZ001
    table = read_parquet(tmp_path, {"timestamp": moment, "a": [1.0]}, timestamp_unit="s")
    assert table.timestamps_ms.tolist() == [1_767_225_600_000]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"time": [1], "a": [1.0]}, "no column 'timestamp'; the columns are time, a"),
        ({"timestamp": [1, None], "a": [1.0, 2.0]}, "row 2, column 'timestamp': .*missing"),
        ({"timestamp": ["noon"], "a": [1.0]}, "row 1, column 'timestamp': 'noon'"),
        ({"timestamp": [1, 2], "a": [1.0, float("inf")]}, "row 2, column 'a': .*finite"),
        ({"timestamp": [1], "a": ["x"]}, "no column holds numbers"),
        ({"timestamp": [True], "a": [1.0]}, "column 'timestamp'.*bool"),
    ],
)
def test_what_is_wrong_with_parquet_is_named_with_row_and_column(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(FaultlineError, match=rf"rig\.parquet: .*{told}"):
        read_parquet(tmp_path, columns)


def test_parquet_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "rig.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FaultlineError, match=r"rig\.parquet: cannot be read as Parquet"):
        read_table(tmp_path / "rig.parquet", Layout())


def test_a_wanted_parquet_column_of_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match="column 'a' is of the type string"):
        read_parquet(tmp_path, {"timestamp": [1], "a": ["x"]}, "a")


def test_parquet_without_a_machine_name_names_the_row(tmp_path: Path) -> None:
    columns = {"timestamp": [1, 2], "unit": ["p", None], "a": [1.0, 2.0]}
    with pytest.raises(FaultlineError, match="row 2, column 'unit': machine_id"):
        read_parquet(tmp_path, columns, machine_column="unit")
