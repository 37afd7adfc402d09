"""Every setting of a fit is an option of `faultline fit`, and is kept with the model."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from faultline.cli import app
from faultline.cli.fit import fit
from faultline.detector.config import FitConfig

NAMED_OTHERWISE = {"slow_sensors": "slow_sensor", "settle_after_s": "settle_after"}
ADVANCED: dict[str, Any] = {
    "window_rows": 7,
    "max_window_rows": 50,
    "default_window_rows": 5,
    "max_gap_steps": 3,
    "k_min": 3,
    "k_max": 4,
    "smallest_cluster_share": 0.05,
    "held_out_blocks": 3,
    "min_rows": 50,
    "max_cluster_rows": 300,
    "silhouette_sample_rows": 200,
    "distance": "covariance",
    "drift": "off",
}


@pytest.fixture
def train(tmp_path: Path) -> Path:
    rows = np.random.default_rng(1).normal(10.0, 1.0, size=(600, 2)).tolist()
    lines = ["timestamp,heat,flow", *(f"{1_000 * row},{a},{b}" for row, (a, b) in enumerate(rows))]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines))
    return path


def run(train: Path, *options: object) -> Result:
    asked = ("fit", "--input", train, "--model", train.parent / "m", "--no-evaluation", *options)
    return CliRunner().invoke(app, [str(one) for one in asked])


def test_every_setting_of_a_fit_is_an_option() -> None:
    settings = {NAMED_OTHERWISE.get(one.name, one.name) for one in fields(FitConfig)}
    assert settings <= set(inspect.signature(fit).parameters)


def test_advanced_settings_are_used_and_kept_with_the_model(train: Path) -> None:
    given = [(f"--{name.replace('_', '-')}", value) for name, value in ADVANCED.items()]
    options = [part for pair in given for part in pair]
    result = run(train, *options, "--machine-baselines", "off", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["settings"] == told["settings"] | ADVANCED | {"machine_baselines": False}
    assert told["window"]["rows"] == 7
    assert [one["k"] for one in told["clusters"]["candidates"]] == [3, 4]
    assert told["distance"]["kind"] == "covariance"
    assert len(told["boundary"]["held_out_blocks"]) == 3
    kept = json.loads((train.parent / "m" / "manifest.json").read_bytes())["summary"]["settings"]
    assert kept == told["settings"]


def test_a_person_is_told_the_settings_that_are_not_the_defaults(train: Path) -> None:
    assert "settings         the defaults" in run(train).output
    told = run(train, "--overwrite", "--k-max", 4).output
    assert "settings         k_max: 4\n" in told


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--k-max", 1, "k_max must be at least 2; got 1"),
        ("--window-rows", 0, "window_rows must be at least 1; got 0"),
        ("--held-out-blocks", 1, "held_out_blocks must be at least 2; got 1"),
        ("--smallest-cluster-share", 0.7, "smallest_cluster_share must be at least 0"),
        ("--distance", "cosine", "euclidean"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(
    train: Path, option: str, value: object, said: str
) -> None:
    result = run(train, option, value)
    told = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 2
    assert option in told
    assert said in told


def test_help_names_every_advanced_option_in_full() -> None:
    told = CliRunner().invoke(app, ["fit", "--help"], env={"COLUMNS": "80"}).output
    for name in (*ADVANCED, "machine_baselines"):
        assert f"--{name.replace('_', '-')} " in told
