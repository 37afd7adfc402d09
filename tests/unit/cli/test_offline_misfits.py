"""Files that do not fit: sick sensors, labels among the rows, another rate, other columns."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from faultline.readings import format_timestamp


def test_score_says_why_no_row_has_a_score(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    text = day.read_text()
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    day.write_text("".join(text.splitlines(keepends=True)[:20]))
    assert "no row has a score: a score needs 30 rows in time order" in terminal.done(*asked)
    day.write_text(text.replace("noise", "n", 1).replace("heat", "h", 1))
    assert "no row has a score: fewer than half of the model's sensors" in terminal.done(*asked)


def test_score_says_which_sensors_the_file_lacks(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    day.write_text(day.read_text().replace("noise", "noise_2", 1))
    told = terminal.done("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "not in the file, scored without: noise" in told


def stuck(terminal: Any, path: Path) -> Path:
    """The sensor heat shows one value from row 100 to 299."""
    header, *rows = terminal.write_csv(path, 3, 400).read_text().splitlines()
    cells = [row.split(",") for row in rows]
    for row in cells[100:300]:
        row[1] = cells[100][1]
    path.write_text("\n".join([header, *map(",".join, cells)]))
    return path


def test_score_and_explain_tell_a_sensor_that_is_sick(
    terminal: Any, model: Path, tmp_path: Path
) -> None:
    asked = ("--model", model, "--input", stuck(terminal, tmp_path / "stuck.csv"))
    scored = ("score", *asked, "--output", tmp_path / "s.csv", "--plot", tmp_path / "s.png")
    told = terminal.done(*scored)
    assert re.search(r"heat: stuck in \d+ rows, 2026-01-01T00:0[12]:\S+ to \S+:04:59.000Z", told)
    assert "only by sick sensors (reason SENSOR_FAULT)" in told
    summed = json.loads(terminal.done(*scored, "--json"))
    [sick] = summed["sick_sensors"]
    assert (sick["sensor"], sick["what"], sick["last"]) == (
        *("heat", "stuck"),
        "2026-01-01T00:04:59.000Z",
    )
    assert summed["sensor_faults"] > 50
    explained = ("explain", *asked, "--at", sick["last"])
    assert "failure (SENSOR_FAULT: only by sensors that are themselves sick)" in terminal.done(
        *explained
    )
    assert json.loads(terminal.done(*explained, "--json"))["reason"] == "SENSOR_FAULT"


def test_fit_leaves_out_the_rows_that_the_named_column_marks(terminal: Any, tmp_path: Path) -> None:
    header, *rows = (
        terminal.write_csv(tmp_path / "train.csv", 1, 900, slice(400, 500)).read_text().split()
    )
    marked = [f"{row},{int(400 <= at < 500)}" for at, row in enumerate(rows)]
    (tmp_path / "train.csv").write_text("\n".join([f"{header},broken", *marked]))
    fit = ("fit", "--input", tmp_path / "train.csv", "--model", tmp_path / "m", "--no-evaluation")
    assert "no input has brokn" in terminal.failure(*fit, "--fault-column", "brokn")
    told = terminal.done(*fit, "--fault-column", "broken")
    assert "left out: 100 for which the file names a fault" in told
    assert "800 from" in told


def stretched(terminal: Any, day: Path, seconds: int, *, newest_first: bool = False) -> None:
    header, *rows = day.read_text().splitlines()
    rows = [
        f"{format_timestamp(terminal.start_ms + 1_000 * seconds * at)},{row.partition(',')[2]}"
        for at, row in enumerate(rows)
    ]
    day.write_text("\n".join([header, *(reversed(rows) if newest_first else rows)]))


def test_score_says_that_the_rows_come_at_another_rate(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "s.png"
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    said = "the model learnt from steps of 1 s: fit one at this rate"
    assert said not in terminal.done(*asked)
    stretched(terminal, day, 3)
    told = terminal.done(*asked)
    assert f"steps of 3 s, {said}" in told
    assert "no row has a score: at this rate most rows of a window are missing" in told
    stretched(terminal, day, 60)
    told = terminal.done(*asked, "--plot", plot)
    assert f"steps of 60 s, {said}" in told
    assert "no row has a score: a silence of more than 30 s begins a window anew" in told
    assert "no picture: no row has a score" in told
    assert not plot.exists()


def test_score_says_that_a_file_is_newest_first(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "newest first" not in terminal.done(*asked)
    stretched(terminal, day, 1, newest_first=True)
    told = terminal.done(*asked)
    assert "this file is newest first; sort it by time" in told
    assert "steps of" not in told


def test_the_time_column_of_the_fit_is_that_of_the_files_to_score(
    terminal: Any, tmp_path: Path
) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    day = terminal.write_csv(tmp_path / "day.csv", 2, 400, slice(200, 300))
    for path in (train, day):
        path.write_text(path.read_text().replace("timestamp", "measured_at", 1))
    model = ("--model", tmp_path / "m")
    terminal.done(
        *("fit", "--input", train, "--no-evaluation", "--timestamp-column", "measured_at"), *model
    )
    scored = ("score", *model, "--input", day, "--output", tmp_path / "s.csv")
    assert "371 scored" in terminal.done(*scored)
    assert "flow" in terminal.done(
        "explain", *model, "--input", day, "--at", "2026-01-01T00:04:40Z"
    )
    day.write_text(day.read_text().replace("measured_at", "at", 1))
    assert "no column 'measured_at'" in terminal.failure(*scored)
    assert "371 scored" in terminal.done(*scored, "--timestamp-column", "at")


def test_score_names_what_it_does_not_know_and_no_option_that_it_lacks(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    text = day.read_text()
    day.write_text(text.replace("noise", "noise_2", 1))
    assert "not in the model, perhaps renamed: noise_2, site" in terminal.done(*asked)
    lines = text.splitlines()
    lines[300] = lines[300].replace(",", ",x", 1)
    day.write_text("\n".join(lines))
    told = terminal.failure(*asked)
    assert "line 301, column 'heat'" in told
    assert "--ignore" not in told


def test_a_pipe_is_refused_in_a_sentence(terminal: Any, model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    asked = ("score", "--model", model, "--input", pipe, "--output", tmp_path / "s.csv")
    assert "is a pipe or a device; write it to a file first" in terminal.failure(*asked)


def test_a_registry_that_is_not_there_is_said_with_how_to_start_one(
    terminal: Any, day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        model = ("--model", "models:/faultline-pump@production", "--registry", url)
        told = terminal.failure("score", *model, "--input", day, "--output", tmp_path / "s.csv")
    assert told.startswith(f"no MLflow at {url} (start one: make up; or name another")


def test_fit_says_how_to_leave_out_what_looks_like_a_label(terminal: Any, tmp_path: Path) -> None:
    header, *rows = terminal.write_csv(tmp_path / "train.csv", 1).read_text().split()
    marked = [f"{row},{int(at % 7 == 0)}" for at, row in enumerate(rows)]
    (tmp_path / "train.csv").write_text("\n".join([f"{header},is_anomaly", *marked]))
    fit = ("fit", "--input", tmp_path / "train.csv", "--model", tmp_path / "m", "--no-evaluation")
    told = terminal.done(*fit)
    assert "is_anomaly holds 0 and 1 only and is named like a label" in told
    assert "--ignore is_anomaly the column alone" in told
    assert "named like a label" not in terminal.done(*fit, "--overwrite", "--ignore", "is_anomaly")
