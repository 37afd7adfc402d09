from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.sources.csv import CsvFile, InvalidCsv
from faultline.sources.recording import LabelledReading, merged

HEADER = "timestamp,flow,pressure,fault\n"


def rows(folder: Path, text: str | bytes, **options: Any) -> list[LabelledReading]:
    path = folder / "rig.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(CsvFile(path, "rig-1", "rig", **options).rows())


def test_a_row_is_a_reading_with_its_fault(tmp_path: Path) -> None:
    [row] = rows(tmp_path, HEADER + "2026-01-05T00:00:01Z,1.5,-2e-3,leak\n")
    assert row.reading.machine_id == "rig-1"
    assert row.reading.machine_type == "rig"
    assert row.reading.timestamp_ms == 1_767_571_201_000
    assert row.reading.sensors == {"flow": 1.5, "pressure": -0.002}
    assert row.fault == "leak"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found_out(tmp_path: Path, separator: str) -> None:
    text = "timestamp,flow,pressure\n1000,1.5,2\n".replace(",", separator)
    [row] = rows(tmp_path, text)
    assert row.reading.sensors == {"flow": 1.5, "pressure": 2.0}


def test_a_decimal_comma_is_understood_between_semicolons(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp;flow;pressure\n1000;1,5;2\n")
    assert row.reading.sensors == {"flow": 1.5, "pressure": 2.0}


def test_gzip_is_recognised_whatever_the_file_is_called(tmp_path: Path) -> None:
    [row] = rows(tmp_path, gzip.compress(b"timestamp,flow\n1000,1\n"))
    assert row.reading.sensors == {"flow": 1.0}


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    [row] = rows(tmp_path, b"\xef\xbb\xbftimestamp,flow\n1000,1\n")
    assert row.reading.timestamp_ms == 1_000


@pytest.mark.parametrize("cell", ["", " ", "NA", "NaN", "null"])
def test_an_empty_cell_is_a_missing_value(tmp_path: Path, cell: str) -> None:
    [row] = rows(tmp_path, f"timestamp,flow,pressure\n1000,{cell},2\n")
    assert row.reading.sensors == {"flow": None, "pressure": 2.0}


def test_a_row_without_any_value_is_skipped(tmp_path: Path) -> None:
    found = rows(tmp_path, "timestamp,flow,pressure\n1000,,\n2000,1,\n")
    assert [row.reading.timestamp_ms for row in found] == [2_000]


def test_columns_of_text_are_no_sensors(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp,site,flow\n1000,north,1\n")
    assert row.reading.sensors == {"flow": 1.0}


def test_ignored_columns_are_no_sensors(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp,row,flow\n1000,17,1\n", ignore=("row",))
    assert row.reading.sensors == {"flow": 1.0}


def test_a_column_of_faults_is_no_sensor_even_if_it_holds_numbers(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp,anomaly,flow\n1000,1,2\n", fault_column="anomaly")
    assert row.reading.sensors == {"flow": 2.0}
    assert row.fault == "1"


def test_a_row_whose_label_is_0_has_no_fault(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp,anomaly,flow\n1000,0,2\n", fault_column="anomaly")
    assert row.fault == ""


def test_a_machine_column_tells_machines_apart(tmp_path: Path) -> None:
    found = rows(tmp_path, "timestamp,unit,flow\n1000,a,1\n1000,b,2\n", machine_column="unit")
    assert [row.reading.machine_id for row in found] == ["a", "b"]


@pytest.mark.parametrize(("unit", "cell"), [("ms", "1500"), ("s", "1.5")])
def test_a_number_as_timestamp_counts_its_unit(tmp_path: Path, unit: str, cell: str) -> None:
    [row] = rows(tmp_path, f"timestamp,flow\n{cell},1\n", timestamp_unit=unit)
    assert row.reading.timestamp_ms == 1_500


def test_a_shift_moves_every_timestamp(tmp_path: Path) -> None:
    [row] = rows(tmp_path, "timestamp,flow\n1000,1\n", shift_ms=500)
    assert row.reading.timestamp_ms == 1_500


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("time,flow\n1,1\n", "no column 'timestamp'; the columns are time, flow.*--timestamp-col"),
        ("timestamp,flow,flow\n1,1,1\n", "names the column 'flow' twice"),
        ("timestamp,site\n1,north\n", "no column holds numbers"),
        ("timestamp,flow\n1,1\n2,wet\n", "line 3, column 'flow': 'wet' is not a number"),
        ("timestamp,flow\n1,1\n2,1_0\n", "line 3, column 'flow': '1_0' is not a number"),
        ("timestamp,flow\n1,1\n2\n", "line 3 has 1 cell, the header 2"),
        ("timestamp,flow\n1,1\n\n2,inf\n", "line 4: sensors.flow: inf must be a finite number"),
        ("timestamp,flow\nyesterday,1\n", "line 2: timestamp: 'yesterday' is neither"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidCsv, match=rf"rig\.csv: .*{told}"):
        rows(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCsv, match=r"nowhere\.csv: cannot be opened: No such file"):
        list(CsvFile(tmp_path / "nowhere.csv", "rig-1").rows())


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCsv, match="not UTF-8"):
        rows(tmp_path, b"timestamp,flow\n1000,\xff\n")


def test_a_compressed_file_that_ends_too_early_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"timestamp,flow\n" + b"".join(b"%d,1\n" % i for i in range(5_000)))
    with pytest.raises(InvalidCsv, match=r"rig\.csv"):
        rows(tmp_path, whole[:-200])


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rig.csv"
    path.write_text("timestamp,flow\n" + "".join(f"{i},1\n" for i in range(50_000)) + "x,1\n")
    first = next(CsvFile(path, "rig-1").rows())
    assert first.reading.timestamp_ms == 0


def test_several_files_are_one_stream_in_time_order(tmp_path: Path) -> None:
    for name, seconds in (("a", (1, 4)), ("b", (2, 3))):
        lines = "".join(f"{s}000,1\n" for s in seconds)
        (tmp_path / f"{name}.csv").write_text("timestamp,flow\n" + lines)
    files = [CsvFile(tmp_path / f"{name}.csv", name) for name in "ab"]
    assert [row.reading.machine_id for row in merged(files)] == ["a", "b", "b", "a"]


cells = st.one_of(st.none(), st.floats(-1e9, 1e9), st.integers(-10_000, 10_000).map(float))


@settings(max_examples=50)
@given(table=st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_every_number_written_is_the_number_read(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[float | None, float | None]]
) -> None:
    def written(value: float | None) -> str:
        return "" if value is None else repr(value)

    lines = [f"{i},{written(a)},{written(b)}\n" for i, (a, b) in enumerate(table)]
    found = rows(tmp_path_factory.mktemp("csv"), "timestamp,a,b\n" + "".join(lines))
    assert [tuple(row.reading.sensors.values()) for row in found] == [
        pair for pair in table if pair != (None, None)
    ]
