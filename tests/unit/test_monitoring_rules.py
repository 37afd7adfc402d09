"""Prometheus' configuration and rules, judged by its own promtool where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
COMPOSE = ROOT / "deploy" / "monitoring" / "docker-compose.yml"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))

Promtool = Callable[..., "subprocess.CompletedProcess[str]"]


def _rules() -> list[dict[str, Any]]:
    files = sorted((FOLDER / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def promtool() -> Promtool:
    """Runs promtool, of this machine or of Prometheus' image, in the folder of the rules."""
    image = yaml.safe_load(COMPOSE.read_text())["services"]["prometheus"]["image"]
    if program := shutil.which("promtool"):
        return lambda *arguments: subprocess.run(
            [program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
        )
    if shutil.which("docker") is None:
        pytest.skip("there is neither promtool nor docker on this machine")
    if _run("docker", "image", "inspect", image).returncode != 0:
        pytest.skip(f"there is no promtool on this machine, nor the image {image}")
    mounted = ("--volume", f"{FOLDER}:/etc/prometheus:ro", "--workdir", "/etc/prometheus")
    return lambda *arguments: _run(
        "docker", "run", "--rm", *mounted, "--entrypoint", "promtool", image, *arguments
    )


def test_promtool_finds_no_fault_in_the_configuration_and_its_rules(promtool: Promtool) -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_the_rules_fire_when_they_should_and_only_then(promtool: Promtool, file: Path) -> None:
    done = promtool("test", "rules", f"tests/{file.name}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_tested_both_ways_and_says_what_to_do(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    cases = [
        case
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == name
    ]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert name in headings
    assert anchor == name.lower()


def test_all_jobs_that_alerts_ask_for_are_scraped() -> None:
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    (down,) = (alert["expr"] for alert in ALERTS if alert["alert"] == "FaultlineServiceDown")
    assert set(re.findall(r'absent\(up\{job="(\w+)"', down)) == {
        *("gateway", "recorder", "trainer", "predictor")
    }
    assert set(re.findall(r'absent\(up\{job="(\w+)"', down)) <= jobs
