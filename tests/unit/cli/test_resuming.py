"""A replay that goes on where it stood, and what it refuses to go on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.cli.resumption import KeptPosition, state_beside
from faultline.errors import Conflict, FaultlineError
from faultline.readings import make_reading
from faultline.sources.recording import LabelledReading, Placed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Gateway

DEADLINE_S = 60.0
ROWS = 20_000
STEP_MS = 5


@pytest.fixture(params=["csv", "parquet"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A hundred seconds of rows, in several row groups."""
    path = tmp_path / f"pump-3.{request.param}"
    times = [STEP_MS * row for row in range(ROWS)]
    values = [float(row) for row in range(ROWS)]
    if request.param == "csv":
        lines = [f"{at},{value}" for at, value in zip(times, values, strict=True)]
        path.write_text("timestamp,flow\n" + "\n".join(lines) + "\n")
    else:
        pq.write_table(pa.table({"timestamp": times, "flow": values}), path, row_group_size=3_000)
    return path


def replaying(gateway: Gateway, *arguments: str | Path) -> subprocess.Popen[str]:
    given = ["replay", *map(str, arguments), "--to", "http", "--gateway", gateway.url, "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "faultline", *given], stdout=subprocess.PIPE, text=True
    )


def replayed(gateway: Gateway, *arguments: str | Path) -> dict[str, Any]:
    with replaying(gateway, *arguments) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode in {0, 130}
    return dict(json.loads(output))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def numbers(gateway: Gateway) -> list[float | None]:
    return [reading.sensors["flow"] for reading in gateway.readings]


def test_killed_in_the_middle_it_goes_on_behind_what_had_arrived(
    gateway: Gateway, recording: Path
) -> None:
    state = state_beside(recording)
    with replaying(gateway, recording, "--resume", "--speed", "10") as process:
        wait_for(state, process)
        process.kill()
    [kept] = json.loads(state.read_bytes())["rows"]
    before = numbers(gateway)
    assert 0 < kept <= len(before) < ROWS
    gateway.readings.clear()

    told = replayed(gateway, recording, "--resume")

    assert numbers(gateway) == [float(row) for row in range(kept, ROWS)]
    assert (told["rows_before"], told["sent"]) == (kept, ROWS - kept)
    assert before == [float(row) for row in range(len(before))]


def test_interrupted_it_sends_every_row_once(gateway: Gateway, recording: Path) -> None:
    with replaying(gateway, recording, "--resume", "--speed", "10") as process:
        assert gateway.heard.wait(DEADLINE_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    assert 0 < len(gateway.readings) < ROWS
    replayed(gateway, recording, "--resume")
    assert numbers(gateway) == [float(row) for row in range(ROWS)]


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--resume"], "interrupted; the same command goes on"), ([], "With --resume it keeps")],
)
def test_interrupted_it_says_what_becomes_of_the_rest(
    gateway: Gateway, recording: Path, options: list[str], told: str
) -> None:
    given = ["replay", str(recording), *options, "--speed", "10", "--to", "http"]
    command = [sys.executable, "-m", "faultline", *given, "--gateway", gateway.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert gateway.heard.wait(DEADLINE_S)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert told in errors


def test_when_all_has_gone_there_is_nothing_to_send(gateway: Gateway, recording: Path) -> None:
    state = recording.with_name("elsewhere.json")
    replayed(gateway, recording, "--state", state)
    told = replayed(gateway, recording, "--state", state)
    assert (told["sent"], told["rows_before"]) == (0, ROWS)
    assert len(gateway.readings) == ROWS
    assert not state_beside(recording).exists()


def test_moved_to_now_it_goes_on_with_the_same_times(gateway: Gateway, recording: Path) -> None:
    given = (recording, "--resume", "--start", "now")
    with replaying(gateway, *given, "--speed", "10") as process:
        assert gateway.heard.wait(DEADLINE_S)
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
    replayed(gateway, *given)
    first_ms = gateway.readings[0].timestamp_ms
    assert [reading.timestamp_ms - first_ms for reading in gateway.readings] == [
        STEP_MS * row for row in range(ROWS)
    ]


OPTIONS = {"--machine": "pump-3", "--to": "127.0.0.1:9092"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pump-3.csv"
    path.write_text("timestamp,flow\n0,1\n")
    return path


def position(file: Path, **options: str) -> KeptPosition:
    return KeptPosition(state_beside(file), [file], {**OPTIONS, **options}, None)


def row(place: int, fault: str) -> Placed:
    reading = make_reading("pump-3", 1_000 * place, {"flow": 1.0})
    return Placed(0, place, LabelledReading(reading, fault))


def test_a_fault_that_was_under_way_goes_on_as_the_same(file: Path) -> None:
    first = position(file)
    assert [label.start_ms for label in first.take(row(1, "leak"))] == [1_000]
    first.arrived()
    again = position(file)
    assert again.rows == [1]
    assert again.take(row(2, "leak")) == ()
    [ended] = again.take(row(3, ""))
    assert (ended.start_ms, ended.end_ms) == (1_000, 3_000)


def test_another_content_under_the_same_name_is_refused(file: Path) -> None:
    position(file).arrived()
    file.write_text("timestamp,flow\n0,2\n")
    with pytest.raises(Conflict, match=r"others' content \(pump-3\.csv\).*delete"):
        position(file)


def test_other_options_are_refused_by_name(file: Path) -> None:
    position(file).arrived()
    with pytest.raises(Conflict, match=r"was begun with --to 127\.0\.0\.1:9092; delete"):
        position(file, **{"--to": "127.0.0.1:9093"})


def test_what_is_no_state_is_refused_and_left(file: Path) -> None:
    state_beside(file).write_text("mine")
    with pytest.raises(Conflict, match="not what a replay has written"):
        position(file)
    assert state_beside(file).read_text() == "mine"


def test_where_nothing_can_be_kept_another_place_is_asked_for(file: Path, tmp_path: Path) -> None:
    kept = KeptPosition(tmp_path / "nowhere" / "state", [file], OPTIONS, None)
    with pytest.raises(FaultlineError, match="name another place with --state"):
        kept.arrived()


def test_a_pipe_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(FaultlineError, match="is no file"):
        position(tmp_path)
