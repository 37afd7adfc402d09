"""One service alone, by its settings as options."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

import httpx
import pytest
import tenacity
from typer.testing import CliRunner

from faultline.cli import app
from faultline.cli.run import SERVICES
from faultline.local import services as local

DEADLINE_S = 60.0


def refused(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run the installed command; what it says on stderr, on one line, without the box."""
    done = subprocess.run(
        [sys.executable, "-m", "faultline", "run", *arguments],
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2, done.stderr
    return " ".join(done.stderr.replace("│", " ").split())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.mark.parametrize("service", SERVICES)
def test_the_help_of_a_service_has_its_own_settings_and_the_shared_ones(service: str) -> None:
    result = CliRunner().invoke(app, ["run", service, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"--{service}-port,--port" in result.output
    assert "--kafka-bootstrap-servers,--kafka" in result.output


@pytest.mark.parametrize("service", local.SERVICES)
def test_it_runs_what_the_local_stack_runs(service: str) -> None:
    assert SERVICES[service].command == local.SERVICES[service]


def test_an_unknown_setting_is_refused_with_those_that_resemble_it() -> None:
    told = refused("gateway", "--gateway-held-byte", "1")
    assert "No such option: --gateway-held-byte" in told
    assert "--gateway-held-bytes" in told


def test_a_setting_of_another_service_is_refused() -> None:
    assert "No such option: --trainer-poll-s" in refused("gateway", "--trainer-poll-s", "1")


def test_a_value_that_the_service_could_not_read_is_told_by_its_option() -> None:
    told = refused("trainer", "--trainer-schedule", "every 6")
    assert "--trainer-schedule" in told
    assert "is neither an interval" in told
    assert "Value error" not in told


def test_a_value_from_the_environment_is_told_by_its_variable() -> None:
    assert "FAULTLINE_LOG_LEVEL" in refused("gateway", environment={"FAULTLINE_LOG_LEVEL": "loud"})


def told_of_the_environment(**environment: str) -> str:
    """What a gateway says on stderr until its process is the service's."""
    given = [sys.executable, "-m", "faultline", "run", "gateway", "--port", str(free_port())]
    with subprocess.Popen(
        [*given, "--kafka", f"127.0.0.1:{free_port()}"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
    return first


def test_a_misspelt_variable_is_told_and_one_of_another_service_is_not() -> None:
    told = told_of_the_environment(FAULTLINE_GATEWAY_PORTS="1", FAULTLINE_TRAINER_POLL_S="5")
    assert told == (
        "faultline: FAULTLINE_GATEWAY_PORTS is no setting and is ignored: FAULTLINE_GATEWAY_PORT?\n"
    )
    assert "faultline: " not in told_of_the_environment(FAULTLINE_TRAINER_POLL_S="5")


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(httpx.TransportError),
    wait=tenacity.wait_fixed(0.05),
    stop=tenacity.stop_after_delay(DEADLINE_S),
    reraise=True,
)
def health(port: int) -> tuple[int, int]:
    base = f"http://127.0.0.1:{port}/health"
    with httpx.Client(trust_env=False) as http:
        return http.get(f"{base}/live").status_code, http.get(f"{base}/ready").status_code


@pytest.mark.parametrize("option", ["--port", "--gateway-port"])
def test_the_process_is_the_service_by_what_was_given_and_ends_as_it_does(option: str) -> None:
    port, nobody = free_port(), f"127.0.0.1:{free_port()}"
    given = ["run", "gateway", option, str(port), "--kafka", nobody]
    with subprocess.Popen(
        [sys.executable, "-m", "faultline", *given],
        env={**os.environ, "FAULTLINE_GATEWAY_PORT": "1"},
    ) as process:
        try:
            answers = health(port)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(DEADLINE_S)
    assert answers == (200, 503)
    assert status == 0
