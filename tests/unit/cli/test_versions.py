"""`faultline models`, `history` and `rollback`, against a trainer that is a fake."""

from __future__ import annotations

import doctest
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from faultline.cli import table, versions
from faultline.cli.versions import history, models, rollback
from faultline.errors import Conflict, NotFound

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trainer

BASE = "/api/v1/ml/models"
PUMP = f"{BASE}/faultline-pump"


def version(number: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_name": "faultline-pump",
        "version": number,
        "stage": "Archived",
        "aliases": [],
        "gate": "passed",
        "silhouette": 0.6149,
        "created_at": "2026-11-20T08:00:06.000Z",
        "tags": {
            "injected_recall": "0.8125",
            "false_alarms_per_machine_day": "0.0314",
            "false_alarms_basis": "measured: 1 in 31.8 machine-days",
            "rows": "12600",
            "training_start": "2026-11-19T08:00:00.000Z",
            "training_end": "2026-11-20T08:00:00.000Z",
        },
        "verdicts": 1_234,
        **changes,
    }


def change(number: str | None, **changes: Any) -> dict[str, Any]:
    return {
        "version": number,
        "previous_version": "1",
        "at": "2026-11-20T14:00:00.000Z",
        "actor": "ada",
        "reason": "fewer alarms",
        "kind": "promotion",
        "forced": False,
        "gate": "passed",
        **changes,
    }


def run(trainer: Trainer, *arguments: str) -> tuple[int, str, BaseException | None]:
    commands = typer.Typer()
    for command in (models, history, rollback):
        commands.command()(command)
    result = CliRunner().invoke(commands, [*arguments, "--trainer", trainer.url])
    return result.exit_code, result.output, result.exception


@pytest.fixture
def two_versions(trainer: Trainer) -> Trainer:
    newest = version(
        "2",
        stage="Production",
        aliases=["production"],
        gate=None,
        silhouette=None,
        tags={"injected_recall": "not evaluated"},
        verdicts=0,
    )
    trainer.answers = {
        BASE: (200, {"models": [{"model_name": "faultline-pump"}]}),
        f"{PUMP}/versions": (200, {"versions": [newest, version("1")]}),
    }
    return trainer


def test_versions_are_a_table(two_versions: Trainer) -> None:
    code, output, _ = run(two_versions, "models")
    header, second, first = output.splitlines()
    assert code == 0
    assert header.split()[:4] == ["model", "version", "stage", "alias"]
    told = first.split()
    assert told[:10] == [
        *("faultline-pump", "1", "Archived", "-", "passed", "0.615", "81%", "0.0314", "a", "day"),
    ]
    assert told[10:15] == ["12,600", "2026-11-19", "08:00", "2026-11-20", "08:00"]
    assert told[-1] == "1,234"
    assert second.split()[:9] == [
        *("faultline-pump", "2", "Production", "production", "-", "-", "-", "-", "-"),
    ]
    assert two_versions.asked[-1][0] == f"{PUMP}/versions?verdicts=true"


def test_versions_as_json_are_numbers(two_versions: Trainer) -> None:
    _, output, _ = run(two_versions, "models", "--json")
    newest, oldest = json.loads(output)["versions"]
    assert (oldest["injected_recall"], oldest["rows"], oldest["verdicts"]) == (0.8125, 12_600, 1234)
    assert (oldest["false_alarms"], oldest["evaluated_machine_days"]) == (1, 31.8)
    assert newest["false_alarms"] is None
    assert (newest["injected_recall"], newest["silhouette"]) == (None, None)
    assert oldest["age_s"] > 0


def test_one_model_can_be_named_and_its_verdicts_left_uncounted(two_versions: Trainer) -> None:
    code, _, _ = run(two_versions, "models", "faultline-pump", "--no-verdicts")
    assert code == 0
    assert [path for path, _ in two_versions.asked] == [f"{PUMP}/versions"]


def test_without_a_model_it_is_said_how_to_get_one(trainer: Trainer) -> None:
    trainer.answers = {BASE: (200, {"models": []})}
    assert "faultline train" in run(trainer, "models")[1]


def test_an_unknown_model_is_an_error(trainer: Trainer) -> None:
    assert isinstance(run(trainer, "models", "faultline-fan")[2], NotFound)


def test_the_history_is_a_table_newest_first(trainer: Trainer) -> None:
    told = [
        change("2", kind="external", forced=True, gate=None),
        change("1", previous_version=None),
    ]
    trainer.answers = {f"{PUMP}/history": (200, {"live": told[0], "at": None, "promotions": told})}
    _, output, _ = run(trainer, "history", "faultline-pump")
    _, second, first = output.splitlines()
    assert second.split() == [
        *("2026-11-20T14:00:00.000Z", "2", "1", "external", "(forced)", "ada", "-"),
        *("fewer", "alarms"),
    ]
    assert first.split()[:5] == ["2026-11-20T14:00:00.000Z", "1", "-", "promotion", "ada"]


REPORT = "900 windows to learn from; silhouette 0.6, at least 0.1 asked for"


def test_a_long_reason_is_cut_and_the_gates_words_are_told_on_demand(trainer: Trainer) -> None:
    told = [change("2", reason="why " * 100, gate_reason=REPORT), change("1", gate_reason=None)]
    trainer.answers = {f"{PUMP}/history": (200, {"live": told[0], "at": None, "promotions": told})}
    _, output, _ = run(trainer, "history", "faultline-pump")
    assert len(output.splitlines()) == 3
    assert output.splitlines()[1].endswith("why why…")
    assert "windows" not in output
    _, output, _ = run(trainer, "history", "faultline-pump", "--verbose")
    assert output.splitlines()[-3:] == [
        "the gate of version 2: passed",
        "  900 windows to learn from",
        "  silhouette 0.6, at least 0.1 asked for",
    ]


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (
            change("2", gate_reason=REPORT),
            "version 2 of faultline-pump was in Production at 2026-11-20T14:05:00.000Z\n"
            "since 2026-11-20T14:00:00.000Z, promotion by ada: fewer alarms",
        ),
        (None, "no version of faultline-pump was in Production at 2026-11-20T14:05:00.000Z"),
    ],
)
def test_of_a_time_only_the_version_that_was_live_is_told(
    trainer: Trainer, live: Any, said: str
) -> None:
    answer = {"live": live, "at": "2026-11-20T14:05:00.000Z", "promotions": [change(None)]}
    trainer.answers = {f"{PUMP}/history": (200, answer)}
    _, output, _ = run(trainer, "history", "faultline-pump", "--at", "2026-11-20T15:05:00+01:00")
    assert output.strip() == said
    assert trainer.asked[0][0] == f"{PUMP}/history?at=2026-11-20T14%3A05%3A00.000Z"
    _, output, _ = run(trainer, "history", "faultline-pump", "--json")
    assert json.loads(output) == answer


def test_a_time_that_is_none_is_refused_before_anything_is_asked(trainer: Trainer) -> None:
    code, output, _ = run(trainer, "history", "faultline-pump", "--at", "tuesday")
    assert code == 2
    assert "--at" in output
    assert trainer.asked == []


def test_a_rollback_says_what_is_there_now(trainer: Trainer) -> None:
    back = {
        "version": "1",
        "stage": "Production",
        "previous_version": "2",
        "changed": True,
        "since": "2026-11-20T14:00:00.000Z",
    }
    trainer.answers = {f"{PUMP}/rollback": (200, back)}
    _, output, _ = run(trainer, "rollback", "faultline-pump", "--reason", "cries wolf")
    assert "version 1 is in Production again; version 2 is archived" in output
    [(_, asked)] = trainer.asked
    assert (asked["to"], asked["reason"]) == (None, "cries wolf")
    _, output, _ = run(
        trainer, "rollback", "faultline-pump", "--to", "1", "--reason", "x", "--json"
    )
    assert json.loads(output)["version"] == "1"
    assert trainer.asked[-1][1]["to"] == "1"


def test_a_rollback_that_changes_nothing_says_so(trainer: Trainer) -> None:
    there = {
        "version": "1",
        "stage": "Production",
        "previous_version": "2",
        "changed": False,
        "since": "2026-11-20T14:00:00.000Z",
    }
    trainer.answers = {f"{PUMP}/rollback": (200, there)}
    _, output, _ = run(trainer, "rollback", "faultline-pump", "--to", "1", "--reason", "x")
    assert "already in Production since 2026-11-20T14:00:00.000Z; nothing changed" in output


def test_a_refused_rollback_is_the_trainers_own_explanation(trainer: Trainer) -> None:
    trainer.answers = {f"{PUMP}/rollback": (409, {"detail": "there is none before"})}
    _, _, error = run(trainer, "rollback", "faultline-pump", "--reason", "x")
    assert isinstance(error, Conflict)
    assert "there is none before" in str(error)


@pytest.mark.parametrize("reason", [[], ["--reason", " "]])
def test_a_rollback_needs_a_reason(trainer: Trainer, reason: list[str]) -> None:
    code, output, _ = run(trainer, "rollback", "faultline-pump", *reason)
    assert code == 2
    assert "reason" in output
    assert trainer.asked == []


def test_the_examples() -> None:
    assert doctest.testmod(versions).failed == 0
    assert doctest.testmod(table).failed == 0


def test_a_narrow_terminal_gets_fewer_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table.print_table(("name", "rows", "to"), [("pump", "1,234", "noon")], {"rows"}, ("to",), 12)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name   rows", "pump  1,234", "too narrow here for: to (--json has all)"]
