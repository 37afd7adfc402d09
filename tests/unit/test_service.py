"""A service runs until it is told to stop, and finishes what it was doing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faultline.errors import InvalidReading, Unavailable
from faultline.service import repeating, retrying

_SERVICE = """
import sys, threading
from fastapi import FastAPI
from faultline.service import Loop, serve
from faultline.telemetry import configure_logging

configure_logging("service")

def work(stop: threading.Event) -> None:
    print("started", flush=True)
    if sys.argv[2] == "fails":
        raise RuntimeError("unknown state")
    stop.wait()
    print("finished", flush=True)

sys.exit(serve(FastAPI(), "127.0.0.1", int(sys.argv[1]), [Loop("work", work)]))
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _started(behaviour: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / "service.py"
    script.write_text(_SERVICE)
    with subprocess.Popen(
        [sys.executable, script, str(_free_port()), behaviour],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_loops_finish_and_ends_with_status_0(
    number: signal.Signals, tmp_path: Path
) -> None:
    with _started("waits", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "finished\n"), err


def test_a_loop_that_fails_ends_the_process_with_status_1(tmp_path: Path) -> None:
    with _started("fails", tmp_path) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "unknown state" in err
    assert json.loads(err.splitlines()[0])["service"] == "service"


def test_retrying_goes_on_until_the_dependency_is_back() -> None:
    answers = iter([Unavailable("down"), Unavailable("still down"), None])

    def step() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    assert retrying(step, threading.Event(), "step", wait_s=0.0)


def test_retrying_does_not_repeat_what_waiting_cannot_mend() -> None:
    def step() -> None:
        raise InvalidReading("never")

    with pytest.raises(InvalidReading):
        retrying(step, threading.Event(), "step", wait_s=0.0)


def test_retrying_stops_when_told_to() -> None:
    stop = threading.Event()

    def step() -> None:
        stop.set()
        raise Unavailable("down")

    assert not retrying(step, stop, "step", wait_s=0.0)


def test_repeating_goes_on_through_an_outage_and_tells_it_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = threading.Event()
    answers = iter([Unavailable("down"), Unavailable("still down"), None, Unavailable("again")])

    def look() -> None:
        answer = next(answers, None)
        if answer is None or str(answer) == "again":
            looked.append(answer)
        if len(looked) == 3:
            stop.set()
        if answer is not None:
            raise answer

    looked: list[Exception | None] = []
    repeating(look, stop, 0.0, "it cannot be seen")

    assert [None if one is None else str(one) for one in looked] == [None, "again", None]
    assert capsys.readouterr().out.count("it cannot be seen; waiting") == 2


def test_repeating_does_not_go_on_after_what_waiting_cannot_mend() -> None:
    def look() -> None:
        raise InvalidReading("never")

    with pytest.raises(InvalidReading):
        repeating(look, threading.Event(), 0.0, "it cannot be seen")
