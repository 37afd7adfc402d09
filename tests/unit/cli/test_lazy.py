from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from faultline.cli import COMMANDS, app
from faultline.cli.lazy import LazyCommand, extra_of

HEAVY = ("kafka", "mlflow", "numpy", "psutil", "sqlalchemy", "supervisor", "fastapi")


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])

    assert result.exit_code == 0
    assert all(str(command.name) in result.output for command in COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from faultline.cli import app; "
        "CliRunner().invoke(app, ['--help']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not set(HEAVY) & set(done.stdout.split())


def test_a_commands_own_help_shows_its_options() -> None:
    result = CliRunner().invoke(app, ["status", "--help"])

    assert result.exit_code == 0
    assert "--json" in result.output


@pytest.mark.parametrize(
    ("module", "extra"), [("psutil", "local"), ("sqlalchemy.orm", "ingest"), ("sklearn", "trainer")]
)
def test_a_missing_module_names_the_extra_that_brings_it(module: str, extra: str) -> None:
    assert extra_of(ModuleNotFoundError(name=module)) == extra


def test_a_missing_module_of_ours_is_a_bug_and_no_extra() -> None:
    assert extra_of(ModuleNotFoundError(name="faultline.nowhere")) is None


def test_the_target_is_imported_when_the_command_is_used() -> None:
    command = LazyCommand("now", "faultline.nowhere:now", "Not there.")

    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        command.make_context("now", [])
