from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from faultline.errors import NotFound
from faultline.offline.explaining import choose_machine, explain_row, find_row
from faultline.offline.models import Loaded
from faultline.offline.plots import (
    draw_explanation,
    draw_scores,
    explanation_figure,
    scores_figure,
)
from faultline.offline.reading import read_table
from faultline.offline.scoring import score_table
from faultline.offline.table import Layout, Table
from faultline.verdicts import Status

WriteCsv = Callable[..., Path]
PNG = b"\x89PNG"


@pytest.fixture
def table(loaded: Loaded, write_csv: WriteCsv, pump: Any) -> Table:
    path = write_csv("day.csv", pump.faulty_rows())
    return read_table(path, Layout(), loaded.model.detector.sensors)


def test_a_row_is_explained_with_the_verdict_that_scoring_gives_it(
    loaded: Loaded, table: Table
) -> None:
    scored = score_table(loaded.model, table, "machine", "pump")
    for row in (45, 100, 380, 599):
        explained = explain_row(loaded.model, table, row, "machine", "pump", around_rows=30)
        assert explained.verdict.score == pytest.approx(scored.score[row], rel=1e-9)
        assert explained.contributions[0].sensor == scored.top_sensor[row]
        assert len(explained.contributions) == 4
        assert sum(part.share for part in explained.contributions) == pytest.approx(1.0)
        assert len(explained.verdicts) == len(explained.around)
        assert row in explained.around


def test_the_fault_is_explained_by_its_sensor(loaded: Loaded, table: Table) -> None:
    explained = explain_row(loaded.model, table, 380, "machine", "pump", around_rows=30)
    assert explained.verdict.status is Status.FAILURE
    assert explained.contributions[0].sensor == "efficiency"
    assert explained.contributions[0].direction == "low"


def test_a_row_is_found_by_its_text_and_by_its_time(table: Table, pump: Any) -> None:
    for at in (
        "2026-01-01T00:01:40.000Z",
        "2026-01-01 00:01:40",
        "2026-01-01T01:01:40+01:00",
        str(pump.start_ms + 100_000),
        str(pump.start_ms // 1_000 + 100),
    ):
        assert find_row(table, at, "machine") == 100


def test_a_time_between_rows_names_the_nearest(table: Table) -> None:
    told = r"no row with a value at 2026-01-01T00:01:40.400Z; the nearest are .*:40.000Z and .*:41"
    with pytest.raises(NotFound, match=told):
        find_row(table, "2026-01-01T00:01:40.400Z", "machine")


def test_a_time_that_is_none_says_which_there_are(table: Table) -> None:
    with pytest.raises(NotFound, match=r"--at noon: .*the rows are from 2026-01-01.* to 2026"):
        find_row(table, "noon", "machine")


def test_of_several_machines_one_must_be_named(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    rows = pump.rows(1, 20)
    machine_ids = ["p-1", "p-2"] * 10
    path = write_csv("fleet.csv", rows, machine_ids=machine_ids)
    table = read_table(path, Layout(machine_column="machine"), loaded.model.detector.sensors)
    with pytest.raises(NotFound, match=r"several machines; name one of p-1, p-2 with --machine"):
        choose_machine(table, None, "machine")
    with pytest.raises(NotFound, match=r"has no machine 'p-3'; name one of p-1, p-2"):
        choose_machine(table, "p-3", "machine")
    assert choose_machine(table, "p-2", "machine") == "p-2"
    assert find_row(table, table.timestamps[3], "p-2") == 3
    with pytest.raises(NotFound, match="p-1 has no row"):
        find_row(table, table.timestamps[3], "p-1")


def test_pictures_are_drawn_of_a_fault_of_a_calm_day_and_without_any_score(
    loaded: Loaded, write_csv: WriteCsv, tmp_path: Path, pump: Any
) -> None:
    strange = {"name": "$p_1$ \N{CJK UNIFIED IDEOGRAPH-6E29}"}["name"]
    cases = {"fault": pump.faulty_rows(), "calm": pump.rows(3, 300), "short": pump.rows(3, 5)}
    for name, rows in cases.items():
        path = write_csv(f"{name}.csv", rows, machine_ids=[strange] * len(rows))
        table = read_table(path, Layout(machine_column="machine"), loaded.model.detector.sensors)
        scored = score_table(loaded.model, table, "machine", "pump")
        assert draw_scores(tmp_path / "scores.png", table, scored) == strange
        assert (tmp_path / "scores.png").read_bytes().startswith(PNG)
        explained = explain_row(loaded.model, table, len(rows) - 1, strange, "pump", around_rows=30)
        draw_explanation(tmp_path / "why.png", table, explained)
        assert (tmp_path / "why.png").read_bytes().startswith(PNG)


def test_only_readings_up_to_the_row_decide_its_verdict(
    loaded: Loaded, table: Table, write_csv: WriteCsv, pump: Any
) -> None:
    rows = pump.faulty_rows()
    rows[381:] = np.nan
    cut = read_table(write_csv("cut.csv", rows), Layout(), loaded.model.detector.sensors)
    one, other = (
        explain_row(loaded.model, each, 380, "machine", "pump", around_rows=30).verdict
        for each in (table, cut)
    )
    assert one == other


def test_an_explanations_picture_has_the_expected_range_of_each_sensor(
    loaded: Loaded, table: Table
) -> None:
    explained = explain_row(loaded.model, table, 350, "machine", "pump", around_rows=60)
    figure = explanation_figure(table, explained)
    for axes, part in zip(figure.axes, explained.contributions, strict=False):
        names = axes.get_legend_handles_labels()[1]
        assert {"expected range", "expected", "observed (mean of the window)"} <= set(names)
        [band] = axes.collections
        drawn = np.asarray(band.get_paths()[0].vertices)[:, 1]
        own = [
            one
            for verdict in explained.verdicts
            for one in verdict.contributions
            if one.sensor == part.sensor
        ]
        assert drawn.min() == pytest.approx(min(one.expected_low for one in own))
        assert drawn.max() == pytest.approx(max(one.expected_high for one in own))


def test_readings_that_swing_with_the_load_do_not_flatten_what_is_judged(
    loaded: Loaded, table: Table
) -> None:
    explained = explain_row(loaded.model, table, 200, "machine", "pump", around_rows=60)
    figure = explanation_figure(table, explained)
    first, right = figure.axes[0], figure.axes[len(explained.contributions)]
    assert right.get_ylabel() == "reading"
    swing = np.ptp(right.lines[0].get_ydata())
    assert np.diff(first.get_ylim()) < swing / 4


def test_the_time_axis_of_pictures_has_its_date_and_zone(loaded: Loaded, table: Table) -> None:
    scored = score_table(loaded.model, table, "machine", "pump")
    explained = explain_row(loaded.model, table, 350, "machine", "pump", around_rows=60)
    for figure in (
        scores_figure(table, scored, "machine"),
        explanation_figure(table, explained),
    ):
        assert "time (UTC)" in [axes.get_xlabel() for axes in figure.axes]
        FigureCanvasAgg(figure).draw()
        dates = [axes.xaxis.get_offset_text().get_text() for axes in figure.axes]
        assert any(date.startswith("2026-Jan-01") for date in dates)


def test_rows_without_dates_are_drawn_without_one(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    path = write_csv("day.csv", pump.faulty_rows(), [str(row) for row in range(600)])
    table = read_table(path, Layout(), loaded.model.detector.sensors)
    figure = scores_figure(table, score_table(loaded.model, table, "machine", "pump"), "machine")
    FigureCanvasAgg(figure).draw()
    assert "time from the start" in [axes.get_xlabel() for axes in figure.axes]
    assert not any(axes.xaxis.get_offset_text().get_text() for axes in figure.axes)
