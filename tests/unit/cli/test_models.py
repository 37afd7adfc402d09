"""`faultline train`, `promote` and `demo` at the terminal, against a trainer that is a fake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from faultline.cli import app as faultline
from faultline.cli.demo import demo
from faultline.cli.models import promote, train
from faultline.errors import Conflict, FaultlineError

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trainer

BASE = "/api/v1/ml/models"
VERSIONS = f"{BASE}/faultline-pump/versions"
MOVED = {
    "version": "2",
    "stage": "Production",
    "previous_version": "1",
    "changed": True,
    "since": "2026-11-20T14:00:00.000Z",
}
JUDGEMENT = {
    "reason": "good enough",
    "checks": [
        {"passed": True, "reason": "900 windows to learn from"},
        {"passed": False, "reason": "silhouette 0.05, at least 0.1 asked for"},
    ],
    "notes": ["no known fault to compare by"],
}


@pytest.fixture
def trainer(trainer: Trainer) -> Trainer:
    """Its one job has succeeded; it refuses to promote version 9."""
    trainer.answers = {
        f"{BASE}/train": (202, {"job_id": "j-1", "state": "queued"}),
        **_job(state="succeeded", promoted=True, decision="the gate passed: good enough"),
        f"{VERSIONS}/2/promote": (200, MOVED),
        f"{VERSIONS}/1/gate": (200, {"judgements": [JUDGEMENT]}),
        f"{VERSIONS}/9/promote": (409, {"title": "Conflict", "detail": "the gate refused it"}),
    }
    return trainer


def _job(**outcome: Any) -> dict[str, tuple[int, Any]]:
    job = {"job_id": "j-1", "model_name": "faultline-pump", "model_version": "1", **outcome}
    return {f"{BASE}/train/j-1": (200, job)}


def app() -> typer.Typer:
    commands = typer.Typer()
    for command in (train, promote, demo):
        commands.command()(command)
    return commands


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app(), arguments)
    return result.exit_code, result.output, result.exception


def test_a_training_that_is_waited_for_tells_what_came_of_it(trainer: Trainer) -> None:
    code, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert code == 0
    assert "faultline-pump version 1 is in Production (the gate passed)" in output


def test_what_the_gate_said_of_a_training_is_a_list_with_the_refused_first(
    trainer: Trainer,
) -> None:
    _, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert output.splitlines()[-3:] == [
        "  refused  silhouette 0.05, at least 0.1 asked for",
        "  passed   900 windows to learn from",
        "  note     no known fault to compare by",
    ]


def test_a_version_that_the_gate_refused_is_not_said_to_be_in_staging(trainer: Trainer) -> None:
    refused = _job(state="succeeded", promoted=False, decision="the gate refused: good enough")
    trainer.answers |= refused
    _, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert "faultline-pump version 1 is not promoted (the gate refused)\n" in output


def test_a_training_with_nothing_new_names_the_version_that_is_there(trainer: Trainer) -> None:
    decision = "unchanged: version 1 has learnt the same rows; it is in Production"
    same = _job(state="succeeded", promoted=False, decision=decision, unchanged=True)
    trainer.answers |= same
    code, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert code == 0
    assert output.splitlines()[-1] == (
        f"faultline-pump: nothing new to learn, {decision}; --repeat makes another version"
    )


def test_a_version_of_the_same_is_asked_for_by_repeat(trainer: Trainer) -> None:
    run("train", "-t", "pump", "--repeat", "--trainer", trainer.url)
    run("train", "-t", "pump", "--trainer", trainer.url)
    told, untold = trainer.bodies()
    assert told["repeat"] is True
    assert "repeat" not in untold


def test_without_checks_the_decision_is_told_whole(trainer: Trainer) -> None:
    trainer.answers[f"{VERSIONS}/1/gate"] = (200, {"judgements": []})
    _, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert "is in Production (the gate passed: good enough)" in output


def test_the_range_is_told_in_utc(trainer: Trainer) -> None:
    options = ["--start", "2026-11-20T10:00:00+02:00", "--end", "2026-11-20 12:00"]
    _, output, _ = run("train", "-t", "pump", *options, "--trainer", trainer.url)
    assert "history from 2026-11-20T08:00:00.000Z to 2026-11-20T12:00:00.000Z" in output


def test_a_range_that_ends_before_it_begins_is_refused_before_it_is_asked(
    trainer: Trainer,
) -> None:
    options = ["--start", "2000", "--end", "1000", "--trainer", trainer.url]
    code, output, _ = run("train", "-t", "pump", *options)
    assert code == 2
    assert "it must be later than --start" in output
    assert trainer.asked == []


def test_a_training_that_fails_exits_with_one_and_the_reason(trainer: Trainer) -> None:
    trainer.answers |= _job(state="failed", error="no rows at all")
    code, output, _ = run("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert code == 1
    assert "no rows at all" in output


def test_several_machines_by_commas_are_told_as_one_name(trainer: Trainer) -> None:
    trainer.answers |= _job(state="failed", error="no readings of 'a,b'")
    given = ("train", "-t", "pump", "--wait", "--trainer", trainer.url)
    assert "give --machines once for each" in run(*given, "--machines", "a,b")[1]
    assert "once for each" not in run(*given, "--machines", "a")[1]


def test_json_is_one_object_and_nothing_else(trainer: Trainer) -> None:
    code, output, _ = run("train", "-t", "pump", "--wait", "--json", "--trainer", trainer.url)
    assert code == 0
    assert json.loads(output)["model_version"] == "1"


def test_what_was_given_is_what_is_asked_for(trainer: Trainer) -> None:
    options = ["--start", "1970-01-01", "--end", "1500", "--sensors", "a", "--sensors", "b"]
    run("train", "-t", "pump", *options, "--promotion", "hold", "--trainer", trainer.url)
    [asked] = trainer.bodies()
    assert asked["start"] == "1970-01-01T00:00:00.000Z"
    assert asked["end"] == "1970-01-01T00:00:01.500Z"
    assert asked["sensors"] == ["a", "b"]
    assert asked["promotion"] == "hold"


def test_the_rows_of_an_earlier_version_can_be_asked_for(trainer: Trainer) -> None:
    code, _, _ = run("train", "-t", "pump", "--dataset-version", "3", "--trainer", trainer.url)
    assert code == 0
    assert [one.get("dataset_version") for one in trainer.bodies()] == ["3"]


def test_an_earlier_version_leaves_no_choice_of_rows(trainer: Trainer) -> None:
    options = ["--dataset-version", "3", "--machines", "a", "--trainer", trainer.url]
    code, output, _ = run("train", "-t", "pump", *options)
    assert code == 2
    assert "--dataset-version" in output
    assert trainer.asked == []


def test_a_time_that_is_none_is_refused_before_anything_is_asked(trainer: Trainer) -> None:
    code, output, _ = run("train", "-t", "pump", "--start", "soon", "--trainer", trainer.url)
    assert code == 2
    assert "--start" in output
    assert trainer.asked == []


def test_excluded_periods_are_asked_for_in_either_form_of_time(trainer: Trainer) -> None:
    periods = ["--exclude", "1970-01-01T00:00:01Z/1970-01-01T00:00:02Z", "--exclude", "3000/4500"]
    code, _, _ = run("train", "-t", "pump", *periods, "--trainer", trainer.url)
    assert code == 0
    [asked] = trainer.bodies()
    assert asked["excluded"] == [
        {"start": "1970-01-01T00:00:01.000Z", "end": "1970-01-01T00:00:02.000Z"},
        {"start": "1970-01-01T00:00:03.000Z", "end": "1970-01-01T00:00:04.500Z"},
    ]


@pytest.mark.parametrize("text", ["1000", "1000/", "/1000", "2000/1000"])
def test_what_is_no_period_is_refused_and_the_form_shown(trainer: Trainer, text: str) -> None:
    code, output, _ = run("train", "-t", "pump", "--exclude", text, "--trainer", trainer.url)
    assert code == 2
    assert "START/END" in output
    assert trainer.asked == []


def test_a_promotion_says_which_version_it_archived(trainer: Trainer) -> None:
    given = ["faultline-pump", "2", "--reason", "compared", "--trainer", trainer.url]
    code, output, _ = run("promote", *given)
    assert code == 0
    assert "version 2 is in Production; version 1 is archived" in output


@pytest.mark.parametrize("stage", ["production", "PRODUCTION", "Production"])
def test_a_stage_is_taken_in_any_case(trainer: Trainer, stage: str) -> None:
    given = ["faultline-pump", "2", "--stage", stage, "--reason", "x", "--trainer", trainer.url]
    code, _, _ = run("promote", *given)
    assert code == 0
    assert trainer.bodies()[0]["stage"] == "Production"


def test_a_refused_promotion_is_the_trainers_own_explanation(trainer: Trainer) -> None:
    _, _, error = run("promote", "faultline-pump", "9", "--reason", "x", "--trainer", trainer.url)
    assert isinstance(error, Conflict)
    assert "the gate refused it" in str(error)


def test_a_promotion_that_changes_nothing_says_so(trainer: Trainer) -> None:
    trainer.answers[f"{VERSIONS}/2/promote"] = (200, {**MOVED, "changed": False})
    given = ["faultline-pump", "2", "--reason", "again", "--trainer", trainer.url]
    code, output, _ = run("promote", *given)
    assert code == 0
    assert output.strip() == (
        "faultline-pump version 2 is already in Production since 2026-11-20T14:00:00.000Z; "
        "nothing changed, nothing is logged"
    )


@pytest.mark.parametrize("options", [[], ["--force"], ["--reason", " "]])
def test_a_promotion_needs_a_reason(trainer: Trainer, options: list[str]) -> None:
    given = ["faultline-pump", "2", *options, "--trainer", trainer.url]
    code, output, _ = run("promote", *given)
    assert code == 2
    assert "reason" in output
    assert trainer.asked == []


def test_what_is_no_choice_is_refused_in_plain_words() -> None:
    result = CliRunner().invoke(faultline, ["train", "-t", "pump", "--promotion", "maybe"])
    assert result.exit_code == 2
    assert "'--promotion': 'maybe' is not one of" in result.output


def test_a_demo_of_a_folder_without_a_history_ends_before_anything_starts(tmp_path: Path) -> None:
    _, _, error = run("demo", "--data", str(tmp_path))
    assert isinstance(error, FaultlineError)
    assert "healthy.csv" in str(error)


def test_expected_faults_need_data_of_their_own() -> None:
    code, output, _ = run("demo", "--expect-detected", "cooler")
    assert code == 2
    assert "--data" in output
