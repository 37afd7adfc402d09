"""The rig's benchmark on small files of the same layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bench import rig
from bench.learning import ASSUMED_CONTAMINATION, Fitted, running_means
from bench.recordings import Rows, UnreadableData


def test_a_fault_is_found_soon_and_healthy_streams_are_quiet(
    rig_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"

    rig.main([str(rig_folder), "--no-peers", "--config", "window_rows=10", "--json", str(target)])

    written = json.loads(target.read_text())
    (fault,) = written["methods"]["Faultline"]["faults"]
    assert (fault["recording"], fault["fault"]) == ("rig-1-pump", "leak")
    assert 5 <= fault["delay_s"] <= 14
    assert fault["bad_share"] > 0.9
    healthy = written["methods"]["Faultline"]["healthy"]
    assert [(one["recording"], one["rows"], one["alarms"]) for one in healthy] == [
        ("rig-1-pump", 300, 0),
        ("rig-2-healthy", 300, 0),
    ]
    leak, quiet = written["details"]
    assert leak["top_sensors"] == ["flow_2"]
    assert leak["score_quantiles"][1] > 1 > quiet["score_quantiles"][2]
    assert "10 rows, as asked for" in capsys.readouterr().out


def test_peers_are_measured_on_rows_and_on_means_without_looking_ahead(rig_folder: Path) -> None:
    history, streams = rig.read(rig_folder)

    def second_sensor_above_twenty(train: Rows) -> Fitted:
        assert len(train) in (800, 791)
        return Fitted(lambda rows: rows[:, 1], {"limit": 20.0})

    reports = dict(
        rig.peer_reports({"peer": second_sensor_above_twenty}, history, streams, window_rows=10)
    )

    assert list(reports) == ["peer, limit, rows", "peer, limit, window means"]
    on_rows, on_means = (report.faults[0] for report in reports.values())
    assert (on_rows.delay_s, on_rows.bad_share) == (5.0, 1.0)
    # The mean of ten rows passes 20 with the fifth or sixth faulty one; five more open the alarm.
    assert on_means.delay_s in (9.0, 10.0)


def test_a_peers_assumed_contamination_is_left_out(rig_folder: Path) -> None:
    history, streams = rig.read(rig_folder)
    thresholds = {ASSUMED_CONTAMINATION: 1.0, "quantile": 2.0}

    reports = rig.peer_reports(
        {"peer": lambda _: Fitted(lambda rows: rows[:, 0], thresholds)}, history, streams, 10
    )

    assert [name for name, _ in reports] == ["peer, quantile, rows", "peer, quantile, window means"]


def test_running_means_are_those_of_whole_windows() -> None:
    values = np.array([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]])

    assert_allclose(running_means(values, 2), [[1.5, 0.0], [4.0, 1.5]])
    assert_array_equal(running_means(values, 1), values)


def test_a_folder_without_its_history_is_refused(rig_folder: Path) -> None:
    (rig_folder / "healthy.csv").unlink()

    with pytest.raises(UnreadableData, match=r"has no healthy\.csv"):
        rig.read(rig_folder)
