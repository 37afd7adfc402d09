"""The benchmarks' command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.options import Options, lacking, parse


def parsed(*arguments: str) -> Options:
    return parse(["--no-peers", *arguments], description="", data="skab", ablation=True)


def test_settings_are_read_as_numbers_none_or_text() -> None:
    options = parsed("--config", "window_rows=None", "--config", "false_alarm_rate=0.01")

    assert options.overrides == {"window_rows": None, "false_alarm_rate": 0.01}


def test_the_datas_folder_is_the_default_and_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLINE_DATA", "elsewhere")

    assert parsed().path == Path("elsewhere/skab")
    assert parsed("mine").path == Path("mine")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("window_rows", "is not KEY=VALUE"),
        ("windows=3", "FitConfig has no field 'windows'"),
        ("window_rows=0", "window_rows must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_reason(
    setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed("--config", setting)

    assert message in capsys.readouterr().err


def test_fields_that_fitconfig_lacks_are_named() -> None:
    assert lacking({"window_rows": 1, "not_a_field": 2}) == ["not_a_field"]
