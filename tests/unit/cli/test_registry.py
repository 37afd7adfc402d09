"""Which registry the commands ask that need one, and how `reproduce` tells what it found."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from faultline.cli.registry import database_url, open_registry
from faultline.cli.reproduce import document
from faultline.errors import NotFound
from faultline.left_out import Cause, LeftOut
from faultline.local.home import Endpoints, External, Home, StackFile
from faultline.ports.stores import HistoryQuery
from faultline.recipe import Recipe
from faultline.reproduction import Reproduction, compare_arrays

ENDPOINTS = Endpoints(
    kafka="127.0.0.1:9092",
    database_url="postgresql+psycopg2://faultline@127.0.0.1:1/faultline",
    mlflow="http://127.0.0.1:4711",
    predictor="",
    gateway="",
    trainer="",
    recorder="",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a stack that runs, by its file."""
    for variable in ("MLFLOW_TRACKING_URI", "FAULTLINE_DATABASE_URL", "FAULTLINE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    Home.at(tmp_path / "home").create()
    Home.at(tmp_path / "home").write_stack(
        StackFile(
            supervisor_pid=os.getpid(),
            started_ms=0,
            ports={},
            components=[],
            external=External(),
            endpoints=ENDPOINTS,
        )
    )
    return tmp_path / "home"


def asked(capsys: pytest.CaptureFixture[str], named: str | None, home: Path | None) -> str:
    with open_registry(named, home):
        return capsys.readouterr().err.strip()


def test_the_registry_is_that_of_the_running_stack(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, None, home) == f"registry: {ENDPOINTS.mlflow}"
    assert database_url(home) == ENDPOINTS.database_url


def test_the_stack_is_found_by_the_environment_too(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_HOME", str(home))
    assert asked(capsys, None, None) == f"registry: {ENDPOINTS.mlflow}"


def test_what_is_named_wins_over_the_environment_and_that_over_the_stack(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert asked(capsys, None, home) == "registry: http://127.0.0.1:1"
    assert asked(capsys, "http://127.0.0.1:2", home) == "registry: http://127.0.0.1:2"


def test_a_home_where_nothing_runs_is_an_error_only_where_it_was_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, None, None) == "registry: http://127.0.0.1:5001"
    with pytest.raises(NotFound, match="no stack runs in"):
        asked(capsys, None, home.parent / "nowhere")


def test_a_reproduction_as_json_has_times_in_words_and_no_difference_where_all_is_equal() -> None:
    period = LeftOut(cause=Cause.FAULT_LABEL, machine_id="pump-1", start_ms=0, end_ms=None)
    recipe = Recipe(
        data_version="ab" * 32,
        stored="rows",
        sensors=("flow",),
        machines={"pump-1": 3},
        query=HistoryQuery(machine_type="pump"),
        left_out=(period,),
        left_out_rows=0,
        fit={},
        threads=1,
        environment={},
    )
    arrays = {"origin": np.array([np.nan])}
    made = Reproduction(recipe, compare_arrays(arrays, arrays), {}, {})
    told = document("faultline-pump", "1", made)
    assert told["arrays"] == {"origin": {"equal": True, "largest_difference": 0.0}}
    assert [(one["start"], one["end"]) for one in told["left_out"]] == [
        ("1970-01-01T00:00:00.000Z", None)
    ]
