"""The commands that send readings, against a gateway that listens on a port of this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from faultline.cli import app

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Gateway

DEADLINE_S = 30.0


def run(gateway: Gateway, *arguments: str | Path) -> Any:
    """Run a command to its end and read its JSON."""
    given = [*map(str, arguments), "--to", "http", "--gateway", gateway.url, "--json"]
    result = CliRunner().invoke(app, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "pump-3.csv"
    lines = [f"{1_000 * s},{s}.5,{'leak' if s >= 6 else ''}" for s in range(10)]
    path.write_text("timestamp,flow,fault\n" + "\n".join(lines) + "\n")
    return path


def test_replay_sends_every_row_of_a_file(gateway: Gateway, recording: Path) -> None:
    told = run(gateway, "replay", recording, "--machine-type", "pump")
    assert [reading.sensors for reading in gateway.readings] == [
        {"flow": s + 0.5} for s in range(10)
    ]
    assert {reading.machine_type for reading in gateway.readings} == {"pump"}
    assert told["sent"] == 10
    assert told["machines"] == {"pump-3": 10}
    assert told["address"] == gateway.url
    assert (told["first_timestamp"], told["last_timestamp"]) == (
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:09.000Z",
    )
    assert told["interrupted"] is False


def test_replay_calls_the_machine_as_it_is_told(gateway: Gateway, recording: Path) -> None:
    run(gateway, "replay", recording, "--machine", "pump-07")
    assert {reading.machine_id for reading in gateway.readings} == {"pump-07"}


def test_replay_moves_all_files_by_the_same_time(gateway: Gateway, tmp_path: Path) -> None:
    for name, begin in (("a", 5_000), ("b", 7_000)):
        (tmp_path / f"{name}.csv").write_text(f"timestamp,flow\n{begin},1\n")
    start = "2026-01-05T00:00:00Z"
    run(gateway, "replay", tmp_path / "b.csv", tmp_path / "a.csv", "--start", start)
    base_ms = 1_767_571_200_000
    assert [reading.identity for reading in gateway.readings] == [
        ("a", base_ms),
        ("b", base_ms + 2_000),
    ]


def replayed(gateway: Gateway, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Replay over HTTP by the installed command, in a process of its own."""
    given = ["replay", *map(str, arguments), "--to", "http", "--gateway", gateway.url]
    return subprocess.run(
        [sys.executable, "-m", "faultline", *given],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_a_refusal_before_anything_was_sent_is_all_that_is_said(
    gateway: Gateway, recording: Path
) -> None:
    gateway.answer = 422
    done = replayed(gateway, recording)
    assert done.returncode == 1
    assert "stopped after" not in done.stderr
    assert "the type is unknown" in done.stderr
    assert "Traceback" not in done.stderr


def test_replay_says_how_much_had_gone_before_a_bad_row(gateway: Gateway, tmp_path: Path) -> None:
    lines = [f"{1_000 * number},1" for number in range(5_000)]
    path = tmp_path / "long.csv"
    path.write_text("timestamp,flow\n" + "\n".join(lines) + "\nnever,1\n")
    done = replayed(gateway, path)
    assert done.returncode == 1
    assert f"stopped after {len(gateway.readings):,} readings" in done.stderr
    assert gateway.readings


def test_with_json_an_error_is_an_object_too(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("timestamp,flow\nnever,1\n")
    done = replayed(gateway, path, "--json")
    assert done.returncode == 1
    assert "never" in json.loads(done.stdout)["error"]
    assert "faultline: " in done.stderr


def test_without_json_an_error_is_on_stderr_alone(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("timestamp,flow\nnever,1\n")
    assert replayed(gateway, path).stdout == ""


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("replay x.csv", "--speed", "fast"),
        ("replay x.csv", "--start", "yesterday"),
        ("simulate", "--speed", "0"),
        ("simulate --speed max", "--duration", ""),
        ("simulate", "--duration", "soon"),
        ("simulate", "--faults", "rust"),
        ("simulate", "--machine-type", "Big Pump"),
        ("watch-host", "--duration", "-1"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_names_it(
    command: str, option: str, value: str
) -> None:
    given = [*command.split(), *([option, value] if value else [])]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert option in result.output


def test_simulate_sends_history_and_then_the_plant_with_its_faults(gateway: Gateway) -> None:
    told = run(
        gateway,
        *("simulate", "--machines", "2", "--history", "5m", "--duration", "30m", "--speed", "max"),
        *("--fault-rate", "6", "--faults", "leak,stuck", "--start", "1795000000000"),
    )
    assert told["sent"] == len(gateway.readings) == 2 * 35 * 60
    assert told["machines"] == {"pump-01": 35 * 60, "pump-02": 35 * 60}
    assert told["first_timestamp"] == "2026-11-18T11:01:40.000Z"
    assert len({reading.identity for reading in gateway.readings}) == told["sent"]
    assert {fault["kind"] for fault in told["faults"]} <= {"leak", "stuck_sensor"}
    assert told["faults"]
    assert min(fault["start"] for fault in told["faults"]) > "2026-11-18T11:06:40"


def test_simulate_ends_about_now_unless_told_when_to_start(gateway: Gateway) -> None:
    before = run(gateway, "simulate", "--machines", "1", "--duration", "1h", "--speed", "max")
    after = run(gateway, "watch-host", "--duration", "0.05", "--interval", "0.05")
    assert before["last_timestamp"] < after["first_timestamp"]


def test_simulate_begins_now_where_it_is_told_so(gateway: Gateway) -> None:
    before = run(gateway, "watch-host", "--duration", "0.05", "--interval", "0.05")
    given = ("simulate", "--machines", "1", "--duration", "1h", "--speed", "max")
    begun = run(gateway, *given, "--start", "now")
    assert begun["first_timestamp"] > before["last_timestamp"]


def test_simulate_tells_each_fault_as_a_line(gateway: Gateway) -> None:
    given = [
        "simulate",
        "--machines",
        "1",
        "--duration",
        "1h",
        "--speed",
        "max",
        "--fault-rate",
        "9",
        "--faults",
        "leak",
    ]
    result = CliRunner().invoke(app, [*given, "--to", "http", "--gateway", gateway.url])
    assert result.exit_code == 0
    assert "pump-01: leak on efficiency, flow, pressure_out, severity" in result.stdout
    assert "sent 3,600 readings of pump-01" in result.stdout


def test_watch_host_sends_as_many_readings_as_intervals(gateway: Gateway) -> None:
    told = run(
        gateway, *["watch-host", "--duration", "0.2", "--interval", "0.05", "--machine", "web-1"]
    )
    assert told["machines"] == {"web-1": len(gateway.readings)}
    assert 1 <= len(gateway.readings) <= 4
    assert {reading.machine_type for reading in gateway.readings} == {"host"}


@pytest.mark.parametrize("command", ["simulate --machines 1", "watch-host --interval 0.1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_is_interrupted_says_what_it_has_sent(
    gateway: Gateway, command: str, number: signal.Signals
) -> None:
    given = [*command.split(), "--to", "http", "--gateway", gateway.url, "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "faultline", *given], stdout=subprocess.PIPE, text=True
    ) as process:
        heard = gateway.heard.wait(DEADLINE_S)
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert heard
    assert process.returncode == 130
    told = json.loads(output)
    assert told["interrupted"] is True
    assert told["sent"] == len(gateway.readings) > 0


def test_without_a_stack_or_an_address_it_says_what_to_do(recording: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faultline", "replay", str(recording), "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1
    assert "faultline up" in done.stderr
    assert "Traceback" not in done.stderr


def test_replay_says_on_stderr_what_makes_it_doubt(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("timestamp,unit,flow\n1000,a,1\n1000,b,2\n")
    done = replayed(gateway, path, "--json")
    assert done.returncode == 0
    assert "times begin at 1970-01-01T00:00:01.000Z" in done.stderr
    assert "--machine-column; left out as text: unit" in done.stderr
    assert json.loads(done.stdout)["sent"] == 2
