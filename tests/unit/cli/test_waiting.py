"""What is said of a server that does not answer."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from faultline.cli import outlet as sending
from faultline.cli.options import Way
from faultline.cli.waiting import Waiting
from faultline.readings import make_reading


class Given(Exception):
    """Out of a wait: the command would have waited."""


def give_up(_: float) -> None:
    raise Given


def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_first_wait_is_told_and_the_next_ones_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slept: list[float] = []
    waiting = Waiting("http://gateway", slept.append)
    for seconds in (1.0, 2.0, 3.0):
        waiting.sleep(seconds)
    assert capsys.readouterr().err == "waiting for http://gateway ...\n"
    assert slept == [1.0, 2.0, 3.0]


def test_after_an_answer_it_is_told_again_unless_the_next_comes_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = Waiting("http://gateway", lambda _: None)
    waiting.over()
    waiting.sleep(1.0)
    waiting.over()
    waiting.sleep(1.0)
    assert capsys.readouterr().err == ""
    waiting.sleep(1.0)
    assert capsys.readouterr().err == "waiting for http://gateway ...\n"


def test_readings_for_a_silent_gateway_are_told_to_wait(capsys: pytest.CaptureFixture[str]) -> None:
    url = nobody()
    with (
        pytest.raises(Given),
        sending.open_outlet(Way.HTTP, gateway=url, sleep=give_up) as outlet,
    ):
        outlet.send([make_reading("pump-1", 0, {"flow": 1.0})])
    assert capsys.readouterr().err == f"waiting for {url} ...\n"


def test_follow_says_which_predictor_it_waits_for() -> None:
    url = nobody()
    given = [sys.executable, "-m", "faultline", "follow", "--predictor", url]
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        process.kill()
    assert told == f"waiting for {url} ...\n"
