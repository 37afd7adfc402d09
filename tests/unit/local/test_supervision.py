from __future__ import annotations

import signal
from configparser import RawConfigParser
from pathlib import Path

import pytest

from faultline.local.home import Home
from faultline.local.supervision import Program, render


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "100% home", {})


def sections(text: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(text)
    return parser


def test_a_percent_sign_in_the_home_is_no_expansion(home: Home) -> None:
    config = sections(render(home, [Program("kafka", ["java"])]))

    assert config["program:kafka"]["directory"] == str(home.path).replace("%", "%%")


def test_arguments_with_spaces_stay_one_argument(home: Home) -> None:
    config = sections(render(home, [Program("kafka", ["java", "-cp", "a b/*"])]))

    assert config["program:kafka"]["command"] == "java -cp 'a b/*'"


def test_each_program_is_stopped_by_its_own_signal_with_its_whole_group(home: Home) -> None:
    config = sections(render(home, [Program("db", ["x"], signal.SIGINT, stop_wait_s=30)]))

    program = config["program:db"]
    assert (program["stopsignal"], program["stopwaitsecs"]) == ("INT", "30")
    assert (program["stopasgroup"], program["killasgroup"]) == ("true", "true")


def test_programs_are_started_one_by_one_and_again_when_they_die(home: Home) -> None:
    program = sections(render(home, [Program("db", ["x"])]))["program:db"]

    assert (program["autostart"], program["autorestart"]) == ("false", "true")
