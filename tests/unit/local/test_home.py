from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from faultline.errors import Conflict, NotFound
from faultline.local.home import (
    ENDPOINT_VARIABLES,
    Endpoints,
    External,
    Home,
    StackFile,
    load_endpoints,
)
from faultline.local.ports import Ports

ENDPOINTS = Endpoints(
    kafka="127.0.0.1:9092",
    database_url="postgresql+psycopg2://faultline:secret@127.0.0.1:15432/faultline",
    mlflow="http://127.0.0.1:5001",
    predictor="http://127.0.0.1:8000",
    gateway="http://127.0.0.1:8001",
    trainer="http://127.0.0.1:8002",
    recorder="http://127.0.0.1:8003",
)
NO_PROCESS = 2**22 + 1


def stack_file(supervisor_pid: int) -> StackFile:
    return StackFile(
        supervisor_pid=supervisor_pid,
        started_ms=1,
        ports=Ports().named(),
        components=["kafka"],
        external=External(),
        endpoints=ENDPOINTS,
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home", {})
    made.create()
    return made


@pytest.fixture
def running(home: Home) -> Home:
    home.write_stack(stack_file(os.getpid()))
    return home


def test_a_given_home_wins_over_the_environment(tmp_path: Path) -> None:
    assert Home.at(tmp_path / "a", {"FAULTLINE_HOME": str(tmp_path / "b")}).path == tmp_path / "a"


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert Home.at(None, {"FAULTLINE_HOME": str(tmp_path / "b")}).path == tmp_path / "b"


def test_the_home_is_in_the_current_folder_when_nothing_names_it() -> None:
    assert Home.at(None, {}).path == Path.cwd() / ".faultline"


@pytest.mark.parametrize("name", ["a\nb", "a ;b", "a #b"])
def test_a_home_that_configuration_files_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Conflict, match="--home"):
        Home.at(tmp_path / name, {})


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Conflict, match=r"home .*/file/home cannot be used"):
        Home.at(tmp_path / "file" / "home", {}).create()


def test_the_socket_of_a_long_home_stays_within_the_limit_of_unix_sockets(tmp_path: Path) -> None:
    home = Home.at(tmp_path / ("h" * 120), {})

    assert len(os.fsencode(home.socket)) <= 99
    assert home.path not in home.socket.parents


def test_two_long_homes_have_different_sockets(tmp_path: Path) -> None:
    first, second = (Home.at(tmp_path / (letter * 120), {}) for letter in "ab")

    assert first.socket != second.socket


def test_the_folder_of_an_outside_socket_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home.at(tmp_path / ("h" * 120), {})
    home.create()
    mode = stat.S_IMODE(home.socket.parent.stat().st_mode)
    home.forget_stack()

    assert mode == 0o700
    assert not home.socket.parent.exists()


def test_the_stack_file_with_its_password_is_readable_by_its_owner_alone(running: Home) -> None:
    assert stat.S_IMODE(running.stack_file.stat().st_mode) == 0o600


def test_the_stack_file_gives_back_what_was_written(running: Home) -> None:
    assert running.read_stack() == stack_file(os.getpid())


def test_a_stack_file_of_another_version_says_what_to_do(home: Home) -> None:
    home.stack_file.write_bytes(msgspec.json.encode({"pid": 1}))

    with pytest.raises(Conflict, match="delete the file if nothing of it runs"):
        home.read_stack()


def test_a_running_stack_gives_its_endpoints(running: Home) -> None:
    assert load_endpoints(running.path, environ={}) == ENDPOINTS


def test_an_environment_variable_wins_over_the_running_stack(running: Home) -> None:
    endpoints = load_endpoints(running.path, environ={"MLFLOW_TRACKING_URI": "http://ml:5000/"})

    assert endpoints == msgspec.structs.replace(ENDPOINTS, mlflow="http://ml:5000")


def test_no_stack_is_said_with_the_ways_out(home: Home) -> None:
    with pytest.raises(NotFound, match=r"no stack runs in .*faultline up.*FAULTLINE_TRAINER_URL"):
        load_endpoints(home.path, needs=["trainer"], environ={})


def test_a_stack_whose_supervisor_is_gone_counts_as_none(home: Home) -> None:
    home.write_stack(stack_file(NO_PROCESS))

    with pytest.raises(NotFound, match="no stack runs"):
        load_endpoints(home.path, environ={})


def test_the_environment_alone_is_enough_where_it_gives_what_is_needed(home: Home) -> None:
    environ = {ENDPOINT_VARIABLES["kafka"]: "broker:9092"}

    assert load_endpoints(home.path, needs=["kafka"], environ=environ).kafka == "broker:9092"
