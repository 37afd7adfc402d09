"""A folder of CSV files as a scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.demo.recordings import UnfitRecordings, recorded_scenario

HEADER = "timestamp,flow,temperature,fault\n"


def write(folder: Path, name: str, start_s: int, faults: list[str]) -> None:
    rows = [
        f"{(start_s + row) * 1_000},{1.0 + row},{20.0},{fault}\n"
        for row, fault in enumerate(faults)
    ]
    (folder / name).write_text(HEADER + "".join(rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "Test Rig"
    place.mkdir()
    write(place, "healthy.csv", 0, [""] * 100)
    write(place, "rig-1.csv", 1_000, [""] * 60 + ["cooler"] * 40)
    write(place, "rig-2.csv", 1_000, [""] * 100)
    return place


def test_each_file_is_a_machine_named_by_it(folder: Path) -> None:
    assert recorded_scenario(folder).machine_ids == ("healthy", "rig-1", "rig-2")


def test_the_machine_type_is_the_folders_name(folder: Path) -> None:
    assert recorded_scenario(folder).machine_type == "test-rig"


def test_a_given_machine_type_wins(folder: Path) -> None:
    assert recorded_scenario(folder, "hydraulic").machine_type == "hydraulic"


def test_rows_under_one_label_are_one_fault(folder: Path) -> None:
    [fault] = recorded_scenario(folder).faults
    assert (fault.label.machine_id, fault.label.kind) == ("rig-1", "cooler")
    assert (fault.label.start_ms, fault.label.end_ms) == (1_060_000, 1_099_001)


def test_faults_are_expected_only_where_asked_for(folder: Path) -> None:
    assert not recorded_scenario(folder).expected
    assert {
        fault.label.kind for fault in recorded_scenario(folder, expected_kinds=["cooler"]).expected
    } == {"cooler"}


def test_files_without_a_fault_are_to_be_quiet(folder: Path) -> None:
    assert recorded_scenario(folder).quiet_machines == ("healthy", "rig-2")


def test_live_files_are_played_together_in_time_order(folder: Path) -> None:
    readings = list(recorded_scenario(folder).live())
    assert [reading.machine_id for reading in readings[:2]] == ["rig-1", "rig-2"]
    times = [reading.timestamp_ms for reading in readings]
    assert times == sorted(times)


def test_the_files_keep_their_own_times(folder: Path) -> None:
    scenario = recorded_scenario(folder)
    assert next(scenario.history()).timestamp_ms == 0
    assert scenario.live_start_ms == 1_000_000


def test_long_files_are_played_faster(folder: Path) -> None:
    write(folder, "rig-3.csv", 1_000, [""] * 3_000)
    assert recorded_scenario(folder).speed == pytest.approx(75.0, rel=0.01)


def test_a_folder_without_a_history_is_refused(folder: Path) -> None:
    (folder / "healthy.csv").unlink()
    with pytest.raises(UnfitRecordings, match=r"has no healthy\.csv"):
        recorded_scenario(folder)


def test_a_folder_with_nothing_to_play_is_refused(folder: Path) -> None:
    (folder / "rig-1.csv").unlink()
    (folder / "rig-2.csv").unlink()
    with pytest.raises(UnfitRecordings, match="nothing besides"):
        recorded_scenario(folder)


def test_a_history_with_a_fault_is_refused(folder: Path) -> None:
    write(folder, "healthy.csv", 0, ["", "leak"])
    with pytest.raises(UnfitRecordings, match="labelled 'leak'"):
        recorded_scenario(folder)


def test_live_files_from_before_the_history_are_refused(folder: Path) -> None:
    write(folder, "rig-1.csv", 50, [""] * 10)
    with pytest.raises(UnfitRecordings, match="begin before"):
        recorded_scenario(folder)


def test_an_expected_fault_that_no_row_has_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(UnfitRecordings, match="labelled boiler; the labels are: cooler"):
        recorded_scenario(folder, expected_kinds=["boiler"])


def test_rows_out_of_order_are_refused(folder: Path) -> None:
    (folder / "rig-1.csv").write_text(HEADER + "2000000,1,1,\n1999000,1,1,\n")
    with pytest.raises(UnfitRecordings, match="not later"):
        recorded_scenario(folder)
