"""Logs are JSON where no terminal reads them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import logging
from faultline.telemetry import configure_logging, logger
configure_logging("recorder", "info", "FORMAT")
logger("a").info("stored", rows=3)
logging.getLogger("library").warning("slow %s", "disk")
logger("a").debug("unseen")
logging.getLogger("kafka.net.connection").error("refused")
def fail():
    password = "hunter" + str(2)
    1 / 0
try:
    fail()
except ZeroDivisionError:
    logger("a").exception("broken")
"""


def _written(log_format: str) -> str:
    program = _PROGRAM.replace("FORMAT", log_format)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return run.stderr


def _lines() -> list[dict[str, object]]:
    return [json.loads(line) for line in _written("auto").splitlines()]


def test_each_line_is_json_that_names_service_level_and_fields() -> None:
    stored, slow, broken = _lines()
    assert (stored["event"], stored["rows"], stored["service"]) == ("stored", 3, "recorder")
    assert (slow["event"], slow["level"]) == ("slow disk", "warning")
    assert "ZeroDivisionError" in json.dumps(broken["exception"])


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_traceback_shows_no_local_variables(log_format: str) -> None:
    written = _written(log_format)
    assert "ZeroDivisionError" in written
    assert "hunter2" not in written
