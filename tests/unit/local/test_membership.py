from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faultline.local.home import Home
from faultline.local.membership import MARK, end_members, is_gone, members

Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home", {})


@pytest.fixture
def run() -> Iterator[Run]:
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, stack_home: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"{code}\nprint('ready', flush=True)\nimport time; time.sleep(60)",
            ],
            env={**os.environ, MARK: str(stack_home)},
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_members_are_found_by_their_mark(home: Home, run: Run) -> None:
    process = run("", home.path)

    assert [member.pid for member in members(home)] == [process.pid]


def test_processes_of_another_home_are_left_alone(home: Home, run: Run, tmp_path: Path) -> None:
    other = run("", tmp_path / "other")

    assert end_members(home) == 0
    assert other.poll() is None


def test_what_lost_its_supervisor_is_asked_to_end_in_good_order(home: Home, run: Run) -> None:
    process = run(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('orderly', flush=True), sys.exit()))",
        home.path,
    )

    assert end_members(home) == 1
    assert process.stdout is not None
    assert process.stdout.read() == b"orderly\n"


def test_what_does_not_listen_is_killed(home: Home, run: Run) -> None:
    run("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", home.path)

    assert end_members(home, deadline_s=0.2) == 1
    assert members(home) == []


def test_a_process_that_only_waits_to_be_reaped_is_gone(home: Home, run: Run) -> None:
    process = run("", home.path)
    [member] = members(home)
    process.kill()
    # Waits without reaping, so that it stays a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert is_gone(member)
