"""Settings in the environment: what a service could not read, and what nothing reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.testing import CliRunner, Result

from faultline.cli import app
from faultline.cli.environment import misread, settings_class, unknown
from faultline.cli.run import SERVICES
from faultline.errors import FaultlineError
from faultline.settings import AlarmSettings, KafkaSettings, RegistrySettings

ROOT = Path(__file__).parents[3]
EVERY = [settings_class(service.settings) for service in SERVICES.values()]


def up(home: Path, environment: dict[str, str]) -> Result:
    return CliRunner().invoke(app, ["up", "--home", str(home)], env=environment)


def test_up_with_a_wrong_setting_names_its_variable_once_and_starts_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    # The port is the stack's own affair: it gives another.
    environment = {
        "FAULTLINE_KAFKA_SESSION_TIMEOUT_S": "secret",
        "FAULTLINE_GATEWAY_PORT": "many",
    }
    result = up(home, environment)
    assert isinstance(result.exception, FaultlineError)
    assert str(result.exception).count("FAULTLINE_KAFKA_SESSION_TIMEOUT_S") == 1
    assert "secret" not in str(result.exception)
    assert "FAULTLINE_GATEWAY_PORT" not in str(result.exception)
    assert not home.exists()


def test_up_tells_of_a_misspelt_setting_and_the_one_that_was_meant(tmp_path: Path) -> None:
    # The wrong one ends it before anything is started.
    result = up(
        tmp_path / "home",
        {"FAULTLINE_RETENTION_EVENT_DAYS": "30", "FAULTLINE_LOG_LEVEL": "loud"},
    )
    assert "FAULTLINE_RETENTION_EVENT_DAYS is no setting and is ignored" in result.stderr
    assert "FAULTLINE_RETENTION_EVENTS_DAYS?" in result.stderr


def test_the_demo_refuses_a_wrong_setting_too(tmp_path: Path) -> None:
    options = ["--home", str(tmp_path / "home"), "--report", str(tmp_path / "report.json")]
    result = CliRunner().invoke(app, ["demo", *options], env={"FAULTLINE_LOG_LEVEL": "loud"})
    assert "FAULTLINE_LOG_LEVEL" in str(result.exception)
    assert not (tmp_path / "home").exists()


def test_what_the_stack_sets_itself_may_be_wrong_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAULTLINE_GATEWAY_PORT", "many")
    gateway = settings_class(SERVICES["gateway"].settings)
    assert len(list(misread(gateway))) == 1
    assert list(misread(gateway, {"FAULTLINE_GATEWAY_PORT"})) == []


def test_what_is_no_json_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed(BaseSettings):
        names: list[str] = []

    monkeypatch.setenv("NAMES", "[")
    assert [found.setting and found.setting.variable for found in misread(Listed)] == ["NAMES"]


def test_an_alarm_rule_that_contradicts_itself_is_told_by_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAULTLINE_ALARM_OPEN_BAD", "20")
    [found] = misread(AlarmSettings)
    assert found.setting is not None
    assert found.setting.variable == "FAULTLINE_ALARM_OPEN_BAD"
    assert "open_bad <= open_window" in found.told


def test_other_programs_variables_are_left_alone() -> None:
    assert list(unknown(["PATH", "MLFLOW_TRACKING_UR"], EVERY)) == []


def test_a_variable_that_resembles_none_is_told_without_a_guess() -> None:
    told = list(unknown(["FAULTLINE_XYZZY"], EVERY))
    assert told == ["FAULTLINE_XYZZY is no setting and is ignored"]


def test_a_setting_with_a_variable_of_its_own_is_known_by_its_name_too() -> None:
    assert list(unknown(["FAULTLINE_MLFLOW_TRACKING_URI"], [RegistrySettings])) == []
    assert list(unknown(["FAULTLINE_KAFKA_USERNAME"], [KafkaSettings])) == []


def read_by_the_project() -> set[str]:
    """Names of variables in the code, the Makefile and the compose files."""
    files = [ROOT / "Makefile", *ROOT.glob("docker-compose.yml")]
    files += [*ROOT.glob("*/docker-compose.yml"), *ROOT.glob("deploy/*/docker-compose.yml")]
    files += [*(ROOT / "faultline").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"(?<![A-Z_])FAULTLINE_[A-Z_]*[A-Z](?![A-Z_{])", text))


def test_every_variable_that_the_project_reads_is_known() -> None:
    misspelt = "FAULTLINE_RETENTION_EVENT_DAYS"
    assert list(unknown(read_by_the_project() - {misspelt}, EVERY)) == []
