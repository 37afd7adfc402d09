"""`faultline backtest`, against a trainer that is a fake."""

from __future__ import annotations

import doctest
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from faultline.cli import backtest as module
from faultline.errors import NotFound


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
    "verdicts": {"failure": 60, "normal": 11_940},
    "then": {
        "alarms": 1,
        "false_alarms": 1,
        "false_alarms_per_machine_day": 8.1,
        "faults_found": 0,
        "recall": 0.0,
        "delay_s": None,
    },
    "now": {
        "alarms": 2,
        "false_alarms": 0,
        "false_alarms_per_machine_day": 0.0,
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
        }
    ],
    "machines": [{"machine_id": "pump-1"}, {"machine_id": "pump-2"}],
}


class Trainer(ThreadingHTTPServer):
    """Answers, and keeps what it was asked."""

    status = 200
    answer: dict[str, Any] = TOLD
    asked: list[tuple[str, Any]]

    def run(self, *arguments: str) -> Any:
        app = typer.Typer()
        app.command()(module.backtest)
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return CliRunner().invoke(app, ["faultline-pump", "3", "--trainer", url, *arguments])


class Handler(BaseHTTPRequestHandler):
    server: Trainer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))
        content = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    server = Trainer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_alarms_stand_beside_each_other(trainer: Trainer) -> None:
    text = trainer.run().stdout
    assert "faultline-pump version 3 on 12,000 readings of 2 machines, 0.123 machine-days" in text
    assert "verdicts: 60 failure, 11,940 normal" in text
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert "then 1 1 8.1 0 of 1 0% -" in lines
    assert "this version 2 0 0 1 of 1 100% 1.5 min" in lines
    assert "pump-1 only then 2026-11-20 04:00:00 to 2026-11-20 04:10:00 - - -" in lines
    only_now = "2026-11-20 08:00:00 to 2026-11-20 08:10:00 and 1 more"
    assert f"pump-2 only this version - {only_now} 7 flow, heat" in lines
    assert "pump-2 leak 2026-11-20 07:58:30 the end missed 1.5 min" in lines
    assert "may have learnt from 25% of these readings" in text


def test_json_is_the_answer_as_it_is(trainer: Trainer) -> None:
    assert json.loads(trainer.run("--json").stdout) == TOLD


def test_options_reach_the_trainer(trainer: Trainer) -> None:
    trainer.run(
        "--machine",
        "pump-1",
        "--machine",
        "pump-2",
        "--start",
        "2026-11-20",
        "--end",
        "1800000000000",
    )
    path = "/api/v1/ml/models/faultline-pump/versions/3/backtest"
    body = {
        "machines": ["pump-1", "pump-2"],
        "start": "2026-11-20T00:00:00.000Z",
        "end": "2027-01-15T08:00:00.000Z",
    }
    assert trainer.asked == [(path, body)]


def test_without_options_all_is_asked_for(trainer: Trainer) -> None:
    trainer.run()
    assert trainer.asked[0][1] == {}


def test_a_long_list_is_cut(trainer: Trainer) -> None:
    trainer.answer = {**TOLD, "alarms": TOLD["alarms"] * 30}
    text = trainer.run().stdout
    assert "and 10 more alarms; --json has all of them" in text


def test_a_refusal_is_an_error(trainer: Trainer) -> None:
    trainer.status, trainer.answer = 404, {"detail": "no readings of 'pump-9'"}
    result = trainer.run("--machine", "pump-9")
    assert isinstance(result.exception, NotFound)
    assert "no readings of 'pump-9'" in str(result.exception)


def test_what_is_no_time_is_a_usage_error(trainer: Trainer) -> None:
    result = trainer.run("--start", "yesterday")
    assert result.exit_code == 2
    assert not trainer.asked


def test_doctests() -> None:
    assert doctest.testmod(module).failed == 0
