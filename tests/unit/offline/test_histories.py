from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from faultline.errors import UntrainableHistory
from faultline.offline.histories import Histories, join
from faultline.offline.reading import read_table
from faultline.offline.table import Layout


def joined(folder: Path, *texts: str, machine_column: str | None = None) -> Histories:
    layout = Layout(machine_column=machine_column)
    tables = []
    for index, text in enumerate(texts):
        path = folder / f"{index}.csv"
        path.write_text(text)
        tables.append(read_table(path, layout))
    return join(tables, "machine")


@pytest.mark.parametrize("marks", [("leak", ""), ("1", "0")])
def test_nothing_is_learnt_from_rows_for_which_the_file_names_a_fault(
    tmp_path: Path, pump: Any, marks: tuple[str, str]
) -> None:
    rows = pump.faulty_rows()
    header, *lines = pump.csv_text(rows).splitlines()
    faulty = range(pump.fault_from, pump.fault_to)
    cells = [f"{line},{marks[number not in faulty]}" for number, line in enumerate(lines)]
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join([f"{header},fault", *cells]))
    packed = tmp_path / "labelled.parquet"
    pq.write_table(arrow_csv.read_csv(path), packed)
    for file in (path, packed):
        joined = join([read_table(file, Layout())], "machine")
        assert joined.faulty_rows == len(faulty)
        [machine] = joined.machines
        kept = (machine.timestamps_ms - pump.start_ms) // 1_000
        assert kept.tolist() == [number for number in range(600) if number not in faulty]
        ignored = join([read_table(file, Layout(ignore=("fault",)))], "machine")
        assert (ignored.faulty_rows, len(ignored.machines[0].timestamps_ms)) == (0, 600)


def test_files_are_stretches_of_one_machine_in_time_order(tmp_path: Path) -> None:
    found = joined(tmp_path, "timestamp,b\n3000,3\n4000,4\n", "timestamp,b,a\n1000,1,9\n2000,2,8\n")
    [history] = found.machines
    assert found.sensors == ("a", "b")
    assert history.timestamps_ms.tolist() == [1_000, 2_000, 3_000, 4_000]
    nan = float("nan")
    np.testing.assert_array_equal(history.values, [[9, 1], [8, 2], [nan, 3], [nan, 4]])


def test_a_machine_column_makes_a_history_for_each(tmp_path: Path) -> None:
    text = "timestamp,unit,a\n2,p-2,1\n1,p-2,2\n1,p-1,3\n"
    found = joined(tmp_path, text, "timestamp,unit,a\n2,p-1,4\n", machine_column="unit")
    assert [one.machine_id for one in found.machines] == ["p-1", "p-2"]
    assert [one.values[:, 0].tolist() for one in found.machines] == [[3, 4], [2, 1]]


def test_rows_without_a_value_and_doubled_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    found = joined(tmp_path, "timestamp,a\n1,5\n1,6\n2,\n3,7\n", "timestamp,a\n3,7\n")
    [history] = found.machines
    assert history.values[:, 0].tolist() == [5, 7]
    assert (found.rows_read, found.empty_rows, found.doubled_rows) == (5, 1, 2)


def test_of_rows_of_one_time_the_first_of_the_file_stays(tmp_path: Path) -> None:
    lines = [f"{time},{value}" for time in range(500, 0, -1) for value in (time, -time)]
    [history] = joined(tmp_path, "\n".join(["timestamp,a", *lines])).machines
    assert history.values[:, 0].tolist() == list(range(1, 501))


def test_other_values_for_one_time_in_two_files_name_both_places(tmp_path: Path) -> None:
    told = r"0\.csv: line 3 and .*1\.csv: line 2 have the same timestamp.*--machine-column"
    with pytest.raises(UntrainableHistory, match=told):
        joined(tmp_path, "timestamp,a\n1,5\n2,6\n", "timestamp,a\n2,7\n")


def test_a_column_that_one_file_has_as_text_and_another_as_numbers_is_used(tmp_path: Path) -> None:
    found = joined(tmp_path, "timestamp,a,b\n1,5,x\n", "timestamp,a,b\n2,6,1\n")
    assert found.sensors == ("a", "b")
    assert found.left_out_columns == {}


def test_files_without_a_single_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UntrainableHistory, match="no row of the input holds a value"):
        joined(tmp_path, "timestamp,a\n1,\n2,\n")


def test_a_history_of_faults_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UntrainableHistory, match=r"a fault is named for every row \(2\)"):
        joined(tmp_path, "timestamp,a,fault\n1,2,leak\n2,3,leak\n")
