"""Reading a labelled file, and the data's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.recordings import Recording, UnreadableData, data_folder, read_recording


def written(folder: Path, text: str) -> Recording:
    path = folder / "machine.csv"
    path.write_text(text)
    return read_recording(path, delimiter=",", label_column="fault", ignored=frozenset({"note"}))


def test_time_zone_label_and_ignored_columns_are_told_apart(tmp_path: Path) -> None:
    recording = written(
        tmp_path,
        "time,a,fault,note,b\n"
        "1970-01-01T00:00:01Z,1,,x,2\n"
        "1970-01-01 00:00:02.5,3,leak,y,4\n"
        "1970-01-01T01:00:03+01:00,5,0,z,6\n",
    )

    assert recording.sensors == ("a", "b")
    assert recording.timestamps_ms.tolist() == [1_000, 2_500, 3_000]
    assert recording.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert recording.fault.tolist() == ["", "leak", ""]


@pytest.mark.parametrize("text", ["", "time,a,fault\n", "time,a\n1970-01-01T00:00:01Z,1\n"])
def test_a_file_without_rows_or_labels_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableData, match="needs rows and the column 'fault'"):
        written(tmp_path, text)


@pytest.mark.parametrize("line", ["1970-01-01T00:00:02Z,much,", "then,1,", "1970-01-01T00:00:02Z"])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UnreadableData, match=r"machine\.csv, line 3"):
        written(tmp_path, f"time,a,fault\n1970-01-01T00:00:01Z,1,\n{line}\n")


def test_data_is_found_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLINE_DATA", "elsewhere")

    assert data_folder("skab") == Path("elsewhere/skab")
