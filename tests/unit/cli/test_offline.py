"""`faultline fit`, `score` and `explain` at the terminal, from CSV files to a picture."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faultline.cli.offline import spread


def test_fit_tells_a_person_what_was_learnt(terminal: Any, tmp_path: Path) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1, 3_000)
    told = terminal.done(
        "fit", "--input", train, "--model", tmp_path / "m", "--machine-type", "pump"
    )
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


def test_fit_tells_a_machine_the_same_as_json(terminal: Any, tmp_path: Path) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    told = json.loads(
        terminal.done(
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
def test_fit_is_told_when_a_lasting_state_is_the_new_normal(
    terminal: Any, tmp_path: Path, seconds: int
) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    terminal.done("fit", "--input", train, "--model", tmp_path / "m", "--settle-after", seconds)
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_bytes())
    assert manifest["parameters"]["settle_ms"] == 1_000 * seconds


def test_fit_takes_several_files_after_one_option(terminal: Any, tmp_path: Path) -> None:
    first, second = (
        terminal.write_csv(tmp_path / "a.csv", 1),
        terminal.write_csv(tmp_path / "b.csv", 1, 1_200),
    )
    told = json.loads(
        terminal.done("fit", "--input", first, second, "--model", tmp_path / "m", "--json")
    )
    assert told["rows"]["used"] == 1_200
    assert told["rows"]["doubled"] == 900


def test_fit_says_which_of_the_ignored_columns_are_not_there(terminal: Any, tmp_path: Path) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    told = terminal.done(
        "fit", "--input", train, "--model", tmp_path / "m", "--ignore", "site", "nosie"
    )
    assert "--ignore names columns that no input has: nosie" in told


def test_a_slow_sensor_is_declared_and_must_be_one_of_the_inputs(
    terminal: Any, tmp_path: Path
) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    fit = ("fit", "--input", train, "--model", tmp_path / "m", "--json")
    assert "no input has haet; the sensors are flow, heat, noise" in terminal.failure(
        *fit, "--slow-sensor", "haet"
    )
    told = json.loads(terminal.done(*fit, "--slow-sensor", "heat"))
    assert "heat" in told["slow_sensors"]


def test_values_are_spread_over_repeatable_options_only() -> None:
    given = ["--input", "a", "b", "--model", "m", "--ignore", "x", "y", "--json"]
    assert spread(given, {"--input", "--ignore"}) == [
        *("--input", "a", "--input", "b", "--model", "m"),
        *("--ignore", "x", "--ignore", "y", "--json"),
    ]


def test_score_writes_a_line_for_each_row_and_sums_up(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    output, plot = tmp_path / "scores.csv", tmp_path / "scores.png"
    told = terminal.done(
        "score", "--model", model, "--input", day, "--output", output, "--plot", plot
    )
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


def test_alarms_are_told_in_the_files_own_times(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    header, *rows = day.read_text().splitlines()
    numbered = [f"{number},{row.partition(',')[2]}" for number, row in enumerate(rows)]
    day.write_text("\n".join([header, *numbered]))
    asked = ("score", "--model", model, "--input", day, "--output", tmp_path / "scores.csv")
    opened, closed = re.search(r"  (\d+) to (\d+), peak", terminal.done(*asked)).groups()  # type: ignore[union-attr]
    assert 200 <= int(opened) < 230
    assert 300 <= int(closed) < 345
    assert terminal.done("explain", *asked[1:5], "--at", opened).startswith("machine: flow ")


def test_score_tells_the_alarms_as_json(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scores.csv"
    told = json.loads(
        terminal.done("score", "--model", model, "--input", day, "--output", output, "--json")
    )
    [alarm] = told["alarms"]
    assert alarm["opened"] < alarm["peak_at"] < alarm["closed"]
    assert alarm["peak_score"] > 1
    assert alarm["sentence"].startswith("machine: flow ")
    assert told["scored"] == 371
    assert told["statuses"]["warming_up"] == 29


def test_explain_says_a_sentence_a_table_and_draws(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "why.png"
    asked = ("explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40Z")
    lines = terminal.done(*asked, "--plot", plot).splitlines()
    assert lines[0].startswith("machine: flow ")
    assert "% of the deviation" in lines[0]
    assert "failure" in lines[1]
    header = next(line for line in lines if line.startswith("sensor"))
    assert header.split() == [
        *("sensor", "share", "observed", "expected", "from", "to", "direction", "health")
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")

    told = json.loads(terminal.done(*asked, "--json"))
    assert told["sensors"][0]["sensor"] == "flow"
    assert sum(one["share"] for one in told["sensors"]) == pytest.approx(1.0)
    assert told["sensors"][0]["health"] == "ok"


def test_explain_names_the_machine(terminal: Any, model: Path, day: Path) -> None:
    asked = ("explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40Z")
    assert terminal.done(*asked, "--machine", "pump-07").startswith("pump-07: flow ")


def test_explain_says_why_a_row_has_no_score(terminal: Any, model: Path, day: Path) -> None:
    told = terminal.done(
        "explain", "--model", model, "--input", day, "--at", "2026-01-01T00:00:02Z"
    )
    assert "no score at this row: the window is not full yet; a score needs 30 rows" in told


def test_what_is_wrong_is_said_in_a_sentence(
    terminal: Any, model: Path, day: Path, tmp_path: Path
) -> None:
    new = ("--model", tmp_path / "m")
    assert "no column 'time'; the columns are timestamp, heat" in terminal.failure(
        "fit", "--input", day, *new, "--timestamp-column", "time"
    )
    assert "cannot be opened" in terminal.failure("fit", "--input", tmp_path / "gone.csv", *new)
    assert "holds a model already; --overwrite" in terminal.failure(
        "fit", "--input", day, "--model", model
    )
    assert "false_alarm_rate must lie between 0 and 0.5" in terminal.failure(
        "fit", "--input", day, *new, "--false-alarm-rate", 2
    )
    assert "settle_after_s must be at least 0" in terminal.failure(
        "fit", "--input", day, *new, "--settle-after", -1
    )
    assert "machine_type" in terminal.failure("fit", "--input", day, *new, "--machine-type", "A B")
    assert "send more history" in terminal.failure(
        "fit", "--input", terminal.write_csv(tmp_path / "short.csv", 1, 20), *new
    )
    assert "no such folder" in terminal.failure(
        "score", *new, "--input", day, "--output", tmp_path / "s.csv"
    )
    assert "there is no folder" in terminal.failure(
        "score", "--model", model, "--input", day, "--output", tmp_path / "none" / "s.csv"
    )
    scored = ("--model", model, "--input", day, "--output", tmp_path / "s.csv")
    assert "let the name end in .png" in terminal.failure(
        "score", *scored, "--plot", tmp_path / "s.pdf"
    )
    assert not (tmp_path / "s.csv").exists()
    assert "is the input itself" in terminal.failure(
        "score", "--model", model, "--input", day, "--output", day
    )
    assert (
        "the nearest are 2026-01-01T00:04:40.000Z and 2026-01-01T00:04:41.000Z"
        in terminal.failure(
            "explain", "--model", model, "--input", day, "--at", "2026-01-01T00:04:40.5Z"
        )
    )
    assert not (tmp_path / "m").exists()


def test_overwrite_replaces_the_model(terminal: Any, day: Path, tmp_path: Path) -> None:
    train = terminal.write_csv(tmp_path / "train.csv", 1)
    fit = ("fit", "--input", train, "--model", tmp_path / "m", "--json")
    first = json.loads(terminal.done(*fit))
    second = json.loads(terminal.done(*fit, "--overwrite", "--machine-type", "pump"))
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
