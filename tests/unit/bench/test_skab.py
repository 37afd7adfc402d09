"""The SKAB benchmark on small files of the same layout."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bench import skab
from bench.figures import Confusion, pooled
from bench.learning import Fitted, always
from bench.outcome import Outcome
from bench.recordings import Rows, UnreadableData
from faultline.detector.fit import FitConfig


def test_files_are_read_with_their_sensors_and_labels(skab_folder: Path) -> None:
    recordings = skab.read(skab_folder)

    assert [recording.group for recording in recordings] == ["valve1", "valve2", "other"]
    assert recordings[0].sensors == ("Pressure", "Current", "Volume Flow RateRMS")
    assert_array_equal(np.flatnonzero(recordings[0].fault != ""), np.arange(500, 600))
    assert_array_equal(np.diff(recordings[0].timestamps_ms), 1_000)


def test_a_fault_is_found_and_each_group_and_the_pool_are_written(
    skab_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"

    skab.main([str(skab_folder), "--no-peers", "--json", str(target)])

    written = json.loads(target.read_text())
    assert set(written) == {"Faultline, cold", "Faultline, stream"}
    assert set(written["Faultline, cold"]) == {"valve1", "valve2", "other", "all"}
    assert written["Faultline, stream"]["all"]["rows"]["f1"] > 0.9
    assert written["Faultline, stream"]["all"]["alarm"]["mar_percent"] < 15
    printed = capsys.readouterr().out
    assert "Conv-AE (published)" in printed
    assert "13.55" in printed


def test_labels_change_nothing_that_is_predicted(skab_folder: Path) -> None:
    recording = skab.read(skab_folder)[0]
    mislabelled = replace(recording, fault=recording.fault[::-1])

    honest, other = (skab.by_faultline(one, FitConfig()) for one in (recording, mislabelled))

    for variant in ("cold", "stream"):
        assert_array_equal(honest.outcomes[variant].bad, other.outcomes[variant].bad)
        assert_array_equal(honest.outcomes[variant].alarm, other.outcomes[variant].alarm)


def test_a_stream_scores_at_once_and_a_cold_start_after_a_window(skab_folder: Path) -> None:
    recording = skab.read(skab_folder)[0]
    recording.values[skab.TRAINING_ROWS :] += 40.0

    said = skab.by_faultline(recording, FitConfig(window_rows=10)).outcomes

    assert_array_equal(np.flatnonzero(~said["stream"].bad), [])
    assert_array_equal(np.flatnonzero(~said["cold"].bad), np.arange(9))


def test_a_file_that_cannot_be_fitted_is_named_and_counts_as_silent(
    skab_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = skab.read(skab_folder)
    recordings[1].values[: skab.TRAINING_ROWS] = 1.0

    with ThreadPoolExecutor(1) as pool:
        counted = skab.faultline_figures(recordings, FitConfig(), pool)

    assert "valve2/0: no sensor can be learnt from" in capsys.readouterr().out
    assert counted["cold"]["valve2"].rows == Confusion(false_negatives=100, true_negatives=100)
    assert counted["cold"]["valve1"].rows.true_positives > 80


def test_outcomes_are_counted_from_the_row_after_training(skab_folder: Path) -> None:
    recordings = skab.read(skab_folder)
    bad = np.zeros(200, dtype=bool)
    bad[90:150] = True
    said = skab.Said({"method": Outcome(bad, ~bad, ())})

    counted = pooled(skab.measured(recordings, [said] * 3)["method"])

    assert counted.rows == Confusion(150, 30, 150, 270)
    assert counted.alarms == Confusion(150, 270, 150, 30)


def test_always_alarming_reaches_the_f1_of_the_faulty_share(skab_folder: Path) -> None:
    recording = skab.read(skab_folder)[0]

    outcomes = skab.peer_outcomes(recording, always, "always", 1)

    rows = skab.figures(recording, outcomes["always"]).rows
    assert rows.f1 == pytest.approx(2 * 0.5 / 1.5)
    assert (rows.far_percent, rows.mar_percent) == (100.0, 0.0)


def test_a_peer_on_means_is_judged_from_the_first_row_after_training(skab_folder: Path) -> None:
    recording = skab.read(skab_folder)[0]
    recording.values[:, 0] = np.arange(600.0)
    learnt_from: list[int] = []

    def above_the_last_training_row(train: Rows) -> Fitted:
        learnt_from.append(len(train))
        return Fitted(lambda rows: rows[:, 0], {"limit": 399.0})

    outcomes = skab.peer_outcomes(recording, above_the_last_training_row, "peer", 10)

    assert learnt_from == [391]
    # The mean of the ten rows up to row t is t - 4.5: above 399 from row 404 on.
    assert_array_equal(np.flatnonzero(~outcomes["peer, limit"].bad), np.arange(4))


def test_the_ablation_says_what_it_leaves_out_and_what_changes(
    skab_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = (
        ("something", {"not_a_field": 1}),
        ("impossible", {"window_rows": 0}),
        ("no smoothing", {"window_rows": 1}),
    )
    recordings = skab.read(skab_folder)

    with ThreadPoolExecutor(1) as pool:
        whole = skab.faultline_figures(recordings, FitConfig(), pool)
        changed = skab.print_ablation(recordings, {}, whole, pool, parts)

    assert set(changed) == {"no smoothing, cold", "no smoothing, stream"}
    printed = capsys.readouterr().out
    assert "left out: something: FitConfig has no field not_a_field" in printed
    assert "left out: impossible: window_rows must be at least 1" in printed


def test_a_folder_without_a_group_is_refused(skab_folder: Path) -> None:
    (skab_folder / "valve2" / "0.csv").unlink()

    with pytest.raises(UnreadableData, match="valve2 has no CSV files"):
        skab.read(skab_folder)


def test_a_file_with_nothing_after_training_is_refused(skab_folder: Path) -> None:
    path = skab_folder / "other" / "0.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:401]) + "\n")

    with pytest.raises(UnreadableData, match="other/0 has 400 rows"):
        skab.read(skab_folder)
