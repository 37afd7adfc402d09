"""`faultline backtest`, against a trainer that is a fake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from faultline.cli import backtest as module
from faultline.errors import NotFound

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trainer

PATH = "/api/v1/ml/models/faultline-pump/versions/3/backtest"


def alarm(hour: int, **changes: Any) -> dict[str, Any]:
    return {
        "opened_at": f"2026-11-20T{hour:02}:00:00.000Z",
        "closed_at": f"2026-11-20T{hour:02}:10:00.000Z",
        "peak_score": 2.345,
        "sensors": ["flow", "heat"],
        "model_version": "3",
        **changes,
    }


TOLD: dict[str, Any] = {
    "model_name": "faultline-pump",
    "version": "3",
    "readings": 12_000,
    "alarm_rule": "an alarm opens at 6 failures",
    "machine_days": 0.1234,
    "live_since": "2026-11-20T06:00:00.000Z",
    "verdicts": {"failure": 60, "normal": 11_940},
    "then": {
        "alarms": 1,
        "false_alarms": 1,
        "machine_days": 0.1,
        "false_alarms_per_machine_day": 8.1,
        "faults": 1,
        "faults_found": 0,
        "recall": 0.0,
        "delay_s": None,
    },
    "now": {
        "alarms": 2,
        "false_alarms": 0,
        "machine_days": 0.1234,
        "false_alarms_per_machine_day": 0.0,
        "faults": 2,
        "faults_found": 1,
        "recall": 1.0,
        "delay_s": 90.0,
    },
    "learnt_readings": 3_000,
    "alarms": [
        {"machine_id": "pump-1", "found_by": "then", "then": [alarm(4)], "now": []},
        {
            "machine_id": "pump-2",
            "found_by": "now",
            "then": [],
            "now": [alarm(8), alarm(9, closed_at=None, peak_score=7.0)],
        },
    ],
    "faults": [
        {
            "machine_id": "pump-2",
            "kind": "leak",
            "start": "2026-11-20T07:58:30.000Z",
            "end": None,
            "then_delay_s": None,
            "now_delay_s": 90.0,
            "was_live": True,
        },
        {
            "machine_id": "pump-2",
            "kind": "offset",
            "start": "2026-11-20T05:00:00.000Z",
            "end": "2026-11-20T05:30:00.000Z",
            "then_delay_s": None,
            "now_delay_s": None,
            "was_live": False,
        },
    ],
    "machines": [
        {
            "machine_id": f"pump-{number}",
            "start": "2026-11-20T04:00:00.000Z",
            "end": f"2026-11-20T1{number}:00:00.000Z",
        }
        for number in (1, 2)
    ],
}


@pytest.fixture
def trainer(trainer: Trainer) -> Trainer:
    trainer.answers = {PATH: (200, TOLD)}
    return trainer


def run(trainer: Trainer, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(module.backtest)
    return CliRunner().invoke(app, ["faultline-pump", "3", "--trainer", trainer.url, *arguments])


def test_the_alarms_stand_beside_each_other(trainer: Trainer) -> None:
    text = run(trainer).stdout
    assert (
        "faultline-pump version 3 on 12,000 readings of 2 machines, 2026-11-20 04:00:00 to "
        "2026-11-20 12:00:00 (UTC); 0.123 machine-days outside known faults\n"
    ) in text
    assert "verdicts: 60 failure, 11,940 normal" in text
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert "then 1 1 8.1 0 of 1 0% -" in lines
    assert "version 3 2 0 0 1 of 2 100% 1.5 min" in lines
    assert "pump-1 only then 2026-11-20 04:00:00 to 2026-11-20 04:10:00 - - -" in lines
    only_now = "2026-11-20 08:00:00 to 2026-11-20 08:10:00 and 1 more"
    assert f"pump-2 only version 3 - {only_now} 7 flow, heat" in lines
    assert "pump-2 leak 2026-11-20 07:58:30 the end missed 1.5 min" in lines
    assert "pump-2 offset 2026-11-20 05:00:00 2026-11-20 05:30:00 none live missed" in lines
    assert "first live: 2026-11-20 06:00:00); 1 known fault of other times left out" in text
    assert "may have learnt from 25% of these readings" in text


def test_a_history_in_which_none_was_live_blames_nobody(trainer: Trainer) -> None:
    then = {**TOLD["then"], "machine_days": 0.0, "faults": 0, "recall": None}
    faults = [{**one, "was_live": False} for one in TOLD["faults"]]
    trainer.answers[PATH] = (200, {**TOLD, "then": then, "faults": faults, "live_since": None})
    text = run(trainer).stdout
    assert "then 1 1 8.1 - - -" in {" ".join(line.split()) for line in text.splitlines()}
    assert "(no version was ever live); 2 known faults of other times left out" in text


def test_a_history_in_which_one_was_live_all_the_time_needs_no_word(trainer: Trainer) -> None:
    then = {**TOLD["then"], "machine_days": TOLD["machine_days"]}
    trainer.answers[PATH] = (200, {**TOLD, "then": then, "faults": TOLD["faults"][:1]})
    assert "first live" not in run(trainer).stdout


def test_json_is_the_answer_as_it_is(trainer: Trainer) -> None:
    assert json.loads(run(trainer, "--json").stdout) == TOLD


def test_options_reach_the_trainer(trainer: Trainer) -> None:
    run(
        trainer,
        "--machine",
        "pump-1",
        "--machine",
        "pump-2",
        "--start",
        "2026-11-20",
        "--end",
        "1800000000000",
    )
    body = {
        "machines": ["pump-1", "pump-2"],
        "start": "2026-11-20T00:00:00.000Z",
        "end": "2027-01-15T08:00:00.000Z",
    }
    assert trainer.asked == [(PATH, body)]


def test_without_options_all_is_asked_for(trainer: Trainer) -> None:
    run(trainer)
    assert trainer.asked[0][1] == {}


def test_a_long_list_is_cut(trainer: Trainer) -> None:
    trainer.answers[PATH] = (200, {**TOLD, "alarms": TOLD["alarms"] * 30})
    text = run(trainer).stdout
    assert "and 10 more alarms; --json has all of them" in text


def test_a_refusal_is_an_error(trainer: Trainer) -> None:
    trainer.answers[PATH] = (404, {"detail": "no readings of 'pump-9'"})
    result = run(trainer, "--machine", "pump-9")
    assert isinstance(result.exception, NotFound)
    assert "no readings of 'pump-9'" in str(result.exception)


def test_several_machines_by_commas_are_told_as_one_name(trainer: Trainer) -> None:
    trainer.answers[PATH] = (404, {"detail": "no readings of 'a,b'"})
    assert "give --machine once for each" in str(run(trainer, "--machine", "a,b").exception)
    assert "once for each" not in str(run(trainer, "--machine", "a").exception)


def test_what_is_no_time_is_a_usage_error(trainer: Trainer) -> None:
    result = run(trainer, "--start", "yesterday")
    assert result.exit_code == 2
    assert not trainer.asked
