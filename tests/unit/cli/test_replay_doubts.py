"""What `faultline replay` says of files that are perhaps not meant as they are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.cli.replay_doubts import Doubts
from faultline.sources.csv import CsvFile
from faultline.sources.parquet import ParquetFile
from faultline.sources.recording import Recording

BEGIN_MS = 1_767_571_200_000


def told(file: Recording, *, moved: bool = False, batch_rows: int = 2) -> list[str]:
    said: list[str] = []
    doubts = Doubts([file], moved=moved, tell=said.append)
    readings = list(file.readings())
    for start in range(0, len(readings), batch_rows):
        doubts.look(readings[start : start + batch_rows])
    return said


def table(folder: Path, times_ms: list[int], machines: list[str]) -> Path:
    path = folder / "fleet.csv"
    lines = [f"{at},{name},1.5,ok" for at, name in zip(times_ms, machines, strict=True)]
    path.write_text("timestamp,unit,flow,note\n" + "\n".join(lines) + "\n")
    return path


SECOND = [BEGIN_MS + 1_000 * s for s in range(6)]


@pytest.mark.parametrize(
    "times_ms",
    [[at for at in SECOND for _ in range(2)], SECOND * 2],
    ids=["by time", "by machine"],
)
def test_times_that_come_again_are_told_once_with_the_text_that_was_left_out(
    tmp_path: Path, times_ms: list[int]
) -> None:
    path = table(tmp_path, times_ms, ["a", "b"] * 6)
    [said] = told(CsvFile(path, "fleet"))
    assert said.startswith("times come more than once")
    assert "--machine-column" in said
    assert said.endswith("left out as text: unit, note")


def test_a_parquet_files_text_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "fleet.parquet"
    columns = {"timestamp": SECOND[:1] * 2, "unit": ["a", "b"], "flow": [1.0, 2.0]}
    pq.write_table(pa.table(columns), path)
    [said] = told(ParquetFile(path, "fleet"))
    assert said.endswith("left out as text: unit")


def test_machines_told_apart_by_a_column_raise_no_doubt(tmp_path: Path) -> None:
    path = table(tmp_path, [at for at in SECOND for _ in range(2)], ["a", "b"] * 6)
    assert told(CsvFile(path, "fleet", machine_column="unit")) == []


def test_a_file_of_one_machine_raises_no_doubt(tmp_path: Path) -> None:
    assert told(CsvFile(table(tmp_path, SECOND, ["a"] * 6), "fleet")) == []


def test_columns_that_were_to_be_ignored_are_not_told(tmp_path: Path) -> None:
    path = table(tmp_path, SECOND[:1] * 2, ["a", "b"])
    [said] = told(CsvFile(path, "fleet", ignore=("note",)))
    assert said.endswith("left out as text: unit")


def test_seconds_read_as_milliseconds_are_told(tmp_path: Path) -> None:
    path = table(tmp_path, [at // 1_000 for at in SECOND], ["a"] * 6)
    [said] = told(CsvFile(path, "fleet"))
    assert said.startswith("the times begin at 1970-01-21T10:59:31.200Z")
    assert "--timestamp-unit s" in said


def test_a_count_from_zero_in_seconds_is_told_of_start_alone(tmp_path: Path) -> None:
    path = table(tmp_path, list(range(6)), ["a"] * 6)
    [said] = told(CsvFile(path, "fleet", timestamp_unit="s"))
    assert "--timestamp-unit" not in said
    assert "--start" in said


def test_times_that_are_moved_are_meant(tmp_path: Path) -> None:
    assert told(CsvFile(table(tmp_path, list(range(6)), ["a"] * 6), "fleet"), moved=True) == []
