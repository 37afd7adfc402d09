"""`faultline fit`, `score` and `explain` at the terminal, from CSV files to a picture."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from faultline.cli import app
from faultline.cli.offline import spread
from faultline.errors import FaultlineError
from faultline.readings import format_timestamp

START_MS = 1_767_225_600_000


def write_csv(path: Path, seed: int, rows: int = 900, fault: slice | None = None) -> Path:
    rng = np.random.default_rng(seed)
    load = np.sin(2 * np.pi * np.arange(rows) / 30)[:, np.newaxis]
    values = 10.0 + load * [3.0, -2.0, 1.0] + 0.1 * rng.normal(size=(rows, 3))
    if fault is not None:
        values[fault, 1] -= 4.0
    lines = ["timestamp,heat,flow,noise,site"]
    lines += [
        f"{format_timestamp(START_MS + 1_000 * row)},{a},{b},{c},north"
        for row, (a, b, c) in enumerate(values.tolist())
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def done(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    done("fit", "--input", write_csv(folder / "train.csv", 1), "--model", folder / "model")
    return folder / "model"


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "day.csv", 2, 400, slice(200, 300))


def test_fit_tells_a_person_what_was_learnt(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1, 3_000)
    told = done("fit", "--input", train, "--model", tmp_path / "m", "--machine-type", "pump")
    for said in (
        "faultline-pump is in",
        "3,000 from 2026-01-01T00:00:00.000Z",
        "3 used: flow, heat, noise",
        "left out: site (holds text, no numbers)",
        "one load cycle of 30 rows",
        "scores 1.0",
        "as alarms: none in 50 min of held-out running",
    ):
        assert said in told


def test_fit_tells_a_machine_the_same_as_json(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    told = json.loads(
        done(
            *("fit", "--input", train, "--model", tmp_path / "m", "--json"),
            *("--false-alarm-rate", 0.01, "--ignore", "noise,site", "--seed", 3),
        )
    )
    assert told["model"]["name"] == "faultline-default"
    assert told["boundary"]["false_alarm_rate"] == 0.01
    assert told["sensors"]["used"] == ["flow", "heat"]
    assert told["sensors"]["left_out"]["noise"] == "ignored, as asked for"
    assert (tmp_path / "m" / "manifest.json").is_file()


@pytest.mark.parametrize("seconds", [0, 90])
def test_fit_is_told_when_a_lasting_state_is_the_new_normal(tmp_path: Path, seconds: int) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    done("fit", "--input", train, "--model", tmp_path / "m", "--settle-after", seconds)
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_bytes())
    assert manifest["parameters"]["settle_ms"] == 1_000 * seconds


def test_fit_takes_several_files_after_one_option(tmp_path: Path) -> None:
    first, second = write_csv(tmp_path / "a.csv", 1), write_csv(tmp_path / "b.csv", 1, 1_200)
    told = json.loads(done("fit", "--input", first, second, "--model", tmp_path / "m", "--json"))
    assert told["rows"]["used"] == 1_200
    assert told["rows"]["doubled"] == 900


def test_fit_says_which_of_the_ignored_columns_are_not_there(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    told = done("fit", "--input", train, "--model", tmp_path / "m", "--ignore", "site", "nosie")
    assert "--ignore names columns that no input has: nosie" in told


def test_a_slow_sensor_is_declared_and_must_be_one_of_the_inputs(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    fit = ("fit", "--input", train, "--model", tmp_path / "m", "--json")
    assert "no input has haet; the sensors are flow, heat, noise" in failure(
        *fit, "--slow-sensor", "haet"
    )
    told = json.loads(done(*fit, "--slow-sensor", "heat"))
    assert "heat" in told["slow_sensors"]


def test_values_are_spread_over_repeatable_options_only() -> None:
    given = ["--input", "a", "b", "--model", "m", "--ignore", "x", "y", "--json"]
    assert spread(given, {"--input", "--ignore"}) == [
        *("--input", "a", "--input", "b", "--model", "m"),
        *("--ignore", "x", "--ignore", "y", "--json"),
    ]


def test_score_writes_a_line_for_each_row_and_sums_up(
    model: Path, day: Path, tmp_path: Path
) -> None:
    output, plot = tmp_path / "scores.csv", tmp_path / "scores.png"
    told = done("score", "--model", model, "--input", day, "--output", output, "--plot", plot)
    with output.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 400
    assert [line["timestamp"] for line in lines][:2] == [
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:01.000Z",
    ]
    assert (lines[0]["score"], lines[0]["status"], lines[0]["alarm"]) == ("", "warming_up", "0")
    assert (lines[280]["alarm"], lines[280]["top_sensor"]) == ("1", "flow")
    assert "400 rows, 371 scored" in told
    assert "29 warming_up" in told
    assert "1 alarm\n" in told
    assert "machine: flow " in told
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_alarms_are_told_in_the_files_own_times(model: Path, day: Path, tmp_path: Path) -> None:
    header, *rows = day.read_text().splitlines()
    numbered = [f"{number},{row.partition(',')[2]}" for number, row in enumerate(rows)]
    day.write_text("\n".join([header, *numbered]))
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "scores.csv")
    opened, closed = re.search(r"  (\d+) to (\d+), peak", done(*asked)).groups()  # type: ignore[union-attr]
    assert 200 <= int(opened) < 230
    assert 300 <= int(closed) < 345
    assert done("explain", *asked[1:5], "--at", opened).startswith("machine: flow ")


def test_score_tells_the_alarms_as_json(model: Path, day: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    told = json.loads(done("score", "--model", model, "--input", day, "--output", output, "--json"))
    [alarm] = told["alarms"]
    assert alarm["opened"] < alarm["peak_at"] < alarm["closed"]
    assert alarm["peak_score"] > 1
    assert alarm["sentence"].startswith("machine: flow ")
    assert told["scored"] == 371
    assert told["statuses"]["warming_up"] == 29


def test_score_says_why_no_row_has_a_score(model: Path, day: Path, tmp_path: Path) -> None:
    text = day.read_text()
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    day.write_text("".join(text.splitlines(keepends=True)[:20]))
    assert "no row has a score: a score needs 30 rows in time order" in done(*asked)
    day.write_text(text.replace("noise", "n", 1).replace("heat", "h", 1))
    assert "no row has a score: fewer than half of the model's sensors" in done(*asked)


def test_score_says_which_sensors_the_file_lacks(model: Path, day: Path, tmp_path: Path) -> None:
    day.write_text(day.read_text().replace("noise", "noise_2", 1))
    told = done("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "not in the file, scored without: noise" in told


def stuck(path: Path) -> Path:
    """The sensor heat shows one value from row 100 to 299."""
    header, *rows = write_csv(path, 3, 400).read_text().splitlines()
    cells = [row.split(",") for row in rows]
    for row in cells[100:300]:
        row[1] = cells[100][1]
    path.write_text("\n".join([header, *map(",".join, cells)]))
    return path


def test_score_and_explain_tell_a_sensor_that_is_sick(model: Path, tmp_path: Path) -> None:
    asked = ("--model", model, "--input", stuck(tmp_path / "stuck.csv"))
    scored = ("score", *asked, "--output", tmp_path / "s.csv", "--plot", tmp_path / "s.png")
    told = done(*scored)
    assert re.search(r"heat: stuck in \d+ rows, 2026-01-01T00:0[12]:\S+ to \S+:04:59.000Z", told)
    assert "only by sick sensors (reason SENSOR_FAULT)" in told
    summed = json.loads(done(*scored, "--json"))
    [sick] = summed["sick_sensors"]
    assert (sick["sensor"], sick["what"], sick["last"]) == (
        *("heat", "stuck"),
        "2026-01-01T00:04:59.000Z",
    )
    assert summed["sensor_faults"] > 50
    explained = ("explain", *asked, "--at", sick["last"])
    assert "failure (SENSOR_FAULT: only by sensors that are themselves sick)" in done(*explained)
    assert json.loads(done(*explained, "--json"))["reason"] == "SENSOR_FAULT"


def test_explain_says_a_sentence_a_table_and_draws(model: Path, day: Path, tmp_path: Path) -> None:
    plot = tmp_path / "why.png"
    asked = ("explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40Z")
    lines = done(*asked, "--plot", plot).splitlines()
    assert lines[0].startswith("machine: flow ")
    assert "% of the deviation" in lines[0]
    assert "failure" in lines[1]
    header = next(line for line in lines if line.startswith("sensor"))
    assert header.split() == [
        *("sensor", "share", "observed", "expected", "from", "to", "direction", "health")
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")

    told = json.loads(done(*asked, "--json"))
    assert told["sensors"][0]["sensor"] == "flow"
    assert sum(one["share"] for one in told["sensors"]) == pytest.approx(1.0)
    assert told["sensors"][0]["health"] == "ok"


def test_explain_names_the_machine(model: Path, day: Path) -> None:
    asked = ("explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40Z")
    assert done(*asked, "--machine", "pump-07").startswith("pump-07: flow ")


def test_explain_says_why_a_row_has_no_score(model: Path, day: Path) -> None:
    told = done("explain", "--model", model, "--input", day, "--at", "2026-01-01T00:00:02Z")
    assert "no score at this row: the window is not full yet; a score needs 30 rows" in told


def failure(*args: object) -> str:
    result = run(*args)
    assert result.exit_code != 0
    if isinstance(result.exception, FaultlineError):
        return str(result.exception)
    return " ".join(result.output.replace("│", " ").split())


def test_what_is_wrong_is_said_in_a_sentence(model: Path, day: Path, tmp_path: Path) -> None:
    new = ("--model", tmp_path / "m")
    assert "no column 'time'; the columns are timestamp, heat" in failure(
        "fit", "--input", day, *new, "--timestamp-column", "time"
    )
    assert "cannot be opened" in failure("fit", "--input", tmp_path / "gone.csv", *new)
    assert "holds a model already; --overwrite" in failure("fit", "--input", day, "--model", model)
    assert "false_alarm_rate must lie between 0 and 0.5" in failure(
        "fit", "--input", day, *new, "--false-alarm-rate", 2
    )
    assert "settle_after_s must be at least 0" in failure(
        "fit", "--input", day, *new, "--settle-after", -1
    )
    assert "machine_type" in failure("fit", "--input", day, *new, "--machine-type", "A B")
    assert "send more history" in failure(
        "fit", "--input", write_csv(tmp_path / "short.csv", 1, 20), *new
    )
    assert "no such folder" in failure(
        "score", *new, "--input", day, "--output", tmp_path / "s.csv"
    )
    assert "there is no folder" in failure(
        "score", "--model", model, "--input", day, "--output", tmp_path / "none" / "s.csv"
    )
    scored = ("--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "let the name end in .png" in failure("score", *scored, "--plot", tmp_path / "s.pdf")
    assert not (tmp_path / "s.csv").exists()
    assert "is the input itself" in failure(
        "score", "--model", model, "--input", day, "--output", day
    )
    assert "the nearest are 2026-01-01T00:04:40.000Z and 2026-01-01T00:04:41.000Z" in failure(
        "explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40.5Z"
    )
    assert not (tmp_path / "m").exists()


def test_overwrite_replaces_the_model(day: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    fit = ("fit", "--input", train, "--model", tmp_path / "m", "--json")
    first = json.loads(done(*fit))
    second = json.loads(done(*fit, "--overwrite", "--machine-type", "pump"))
    assert (first["model"]["name"], second["model"]["name"]) == (
        "faultline-default",
        "faultline-pump",
    )
    assert json.loads((tmp_path / "m" / "manifest.json").read_text())["machine_type"] == "pump"


@pytest.mark.parametrize("name", ["fit", "score", "explain"])
def test_help_teaches_without_loading_what_it_does_not_need(name: str) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from faultline.cli import app; "
        f"print(CliRunner().invoke(app, ['{name}', '--help']).output); print(*sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "--timestamp-column" in output
    loaded: set[Any] = set(output.split())
    assert not {"sklearn", "matplotlib", "pyarrow", "mlflow"} & loaded


def test_fit_leaves_out_the_rows_that_the_named_column_marks(tmp_path: Path) -> None:
    header, *rows = write_csv(tmp_path / "train.csv", 1, 900, slice(400, 500)).read_text().split()
    marked = [f"{row},{int(400 <= at < 500)}" for at, row in enumerate(rows)]
    (tmp_path / "train.csv").write_text("\n".join([f"{header},broken", *marked]))
    fit = ("fit", "--input", tmp_path / "train.csv", "--model", tmp_path / "m", "--no-evaluation")
    assert "no input has brokn" in failure(*fit, "--fault-column", "brokn")
    told = done(*fit, "--fault-column", "broken")
    assert "left out: 100 for which the file names a fault" in told
    assert "800 from" in told


def stretched(day: Path, seconds: int, *, newest_first: bool = False) -> None:
    header, *rows = day.read_text().splitlines()
    rows = [
        f"{format_timestamp(START_MS + 1_000 * seconds * at)},{row.partition(',')[2]}"
        for at, row in enumerate(rows)
    ]
    day.write_text("\n".join([header, *(reversed(rows) if newest_first else rows)]))


def test_score_says_that_the_rows_come_at_another_rate(
    model: Path, day: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "s.png"
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    said = "the model learnt from steps of 1 s: fit one at this rate"
    assert said not in done(*asked)
    stretched(day, 3)
    told = done(*asked)
    assert f"steps of 3 s, {said}" in told
    assert "no row has a score: at this rate most rows of a window are missing" in told
    stretched(day, 60)
    told = done(*asked, "--plot", plot)
    assert f"steps of 60 s, {said}" in told
    assert "no row has a score: a silence of more than 30 s begins a window anew" in told
    assert "no picture: no row has a score" in told
    assert not plot.exists()


def test_score_says_that_a_file_is_newest_first(model: Path, day: Path, tmp_path: Path) -> None:
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "newest first" not in done(*asked)
    stretched(day, 1, newest_first=True)
    told = done(*asked)
    assert "this file is newest first; sort it by time" in told
    assert "steps of" not in told


def test_the_time_column_of_the_fit_is_that_of_the_files_to_score(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", 1)
    day = write_csv(tmp_path / "day.csv", 2, 400, slice(200, 300))
    for path in (train, day):
        path.write_text(path.read_text().replace("timestamp", "measured_at", 1))
    model = ("--model", tmp_path / "m")
    done(*("fit", "--input", train, "--no-evaluation", "--timestamp-column", "measured_at"), *model)
    scored = ("score", *model, "--input", day, "--output", tmp_path / "s.csv")
    assert "371 scored" in done(*scored)
    assert "flow" in done("explain", *model, "--input", day, "--at", "2026-01-01T00:04:40Z")
    day.write_text(day.read_text().replace("measured_at", "at", 1))
    assert "no column 'measured_at'" in failure(*scored)
    assert "371 scored" in done(*scored, "--timestamp-column", "at")


def test_score_names_what_it_does_not_know_and_no_option_that_it_lacks(
    model: Path, day: Path, tmp_path: Path
) -> None:
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "s.csv")
    text = day.read_text()
    day.write_text(text.replace("noise", "noise_2", 1))
    assert "not in the model, perhaps renamed: noise_2, site" in done(*asked)
    lines = text.splitlines()
    lines[300] = lines[300].replace(",", ",x", 1)
    day.write_text("\n".join(lines))
    told = failure(*asked)
    assert "line 301, column 'heat'" in told
    assert "--ignore" not in told


def test_a_pipe_is_refused_in_a_sentence(model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    asked = ("score", "--model", model, "--input", pipe, "--output", tmp_path / "s.csv")
    assert "is a pipe or a device; write it to a file first" in failure(*asked)


def test_a_registry_that_is_not_there_is_said_with_how_to_start_one(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        model = ("--model", "models:/faultline-pump@production", "--registry", url)
        told = failure("score", *model, "--input", day, "--output", tmp_path / "s.csv")
    assert told == f"no MLflow at {url} (start one: make up)"


def test_fit_says_how_to_leave_out_what_looks_like_a_label(tmp_path: Path) -> None:
    header, *rows = write_csv(tmp_path / "train.csv", 1).read_text().split()
    marked = [f"{row},{int(at % 7 == 0)}" for at, row in enumerate(rows)]
    (tmp_path / "train.csv").write_text("\n".join([f"{header},is_anomaly", *marked]))
    fit = ("fit", "--input", tmp_path / "train.csv", "--model", tmp_path / "m", "--no-evaluation")
    told = done(*fit)
    assert "is_anomaly holds 0 and 1 only and is named like a label" in told
    assert "--ignore is_anomaly the column alone" in told
    assert "named like a label" not in done(*fit, "--overwrite", "--ignore", "is_anomaly")
