from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faultline.cli import app
from faultline.cli.stack import in_home, sentences
from faultline.local.home import Home
from faultline.local.journal import Event


def test_a_restart_is_told_with_how_the_program_died() -> None:
    events = [
        Event(1.0, "predictor", "died", how="exit 1"),
        Event(2.0, "predictor", "started", pid=42),
    ]

    assert sentences(events, {}) == ["predictor died (exit 1), restarted, pid 42"]


def test_a_restart_is_told_when_the_end_was_seen_earlier() -> None:
    dead: dict[str, str] = {}
    assert sentences([Event(1.0, "kafka", "died", how="SIGKILL")], dead) == []

    assert sentences([Event(2.0, "kafka", "started", pid=7)], dead) == [
        "kafka died (SIGKILL), restarted, pid 7"
    ]


def test_a_restart_that_was_asked_for_is_no_news() -> None:
    events = [
        Event(1.0, "kafka", "stopped", how="SIGTERM"),
        Event(2.0, "kafka", "started", pid=7),
    ]

    assert sentences(events, {}) == []


def test_a_program_that_is_given_up_is_told() -> None:
    events = [Event(1.0, "kafka", "died", how="exit 1"), Event(1.0, "kafka", "gave_up")]

    assert sentences(events, {}) == ["kafka died (exit 1) too often and is not started again"]


def test_status_of_no_stack_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--home", str(tmp_path), "--json"])

    assert result.exit_code == 3
    assert json.loads(result.stdout)["running"] is False


def test_down_where_nothing_runs_says_so_and_succeeds(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["down", "--home", str(tmp_path / "nowhere")])

    assert (result.exit_code, result.stdout.split(" /")[0]) == (0, "nothing runs in")
    assert "name the folder of another with --home or FAULTLINE_HOME" in result.stdout


def test_a_command_for_a_stack_names_its_home_where_it_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_home("down", Home.at(Path(".faultline"))) == "faultline down"
    assert in_home("down", Home.at(Path("a b"))) == f"faultline down --home '{tmp_path}/a b'"


def test_where_no_stack_runs_it_is_said_how_to_start_one_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--home", str(tmp_path)])
    assert f"`faultline up --home {tmp_path}` starts one" in result.stdout
