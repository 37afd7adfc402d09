"""`faultline migrate` and `faultline topics` where there is no server."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import Conflict, Unavailable

NOBODY = "127.0.0.1:1"


def test_migrate_gives_up_when_its_time_is_over_and_says_why() -> None:
    result = CliRunner().invoke(
        app, ["migrate", "--postgres", f"postgresql://u:secret@{NOBODY}/x", "--wait", "0"]
    )
    assert isinstance(result.exception, Unavailable)
    assert "Connection refused" in str(result.exception)
    assert "secret" not in str(result.exception) + result.output


def test_migrate_does_not_wait_for_an_address_that_is_none() -> None:
    result = CliRunner().invoke(app, ["migrate", "--postgres", "nonsense"])
    assert isinstance(result.exception, Conflict)
    assert "waiting" not in result.output


def test_migrate_reads_the_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLINE_DATABASE_URL", "mysql://somewhere/else")
    result = CliRunner().invoke(app, ["migrate"])
    assert isinstance(result.exception, Conflict)
