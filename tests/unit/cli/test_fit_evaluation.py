"""`faultline fit` measures by injected faults, unless it is told not to; and the shape view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from faultline.bundle import read_bundle
from faultline.cli import app
from faultline.detector import Window


@pytest.fixture
def train(tmp_path: Path) -> Path:
    rows = np.random.default_rng(1).normal(10.0, 1.0, size=(600, 2)).tolist()
    lines = ["timestamp,heat,flow", *(f"{1_000 * row},{a},{b}" for row, (a, b) in enumerate(rows))]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines))
    return path


def fitted(train: Path, *options: str) -> str:
    model = ("--model", str(train.parent / "model"))
    result = CliRunner().invoke(app, ["fit", "--input", str(train), *model, *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_fit_tells_what_it_finds_of_every_kind_of_fault(train: Path) -> None:
    told = fitted(train)
    for kind in ("spike", "stuck", "offset", "drift", "noise", "dropout", "broken correlation"):
        assert f"{kind}: " in told
    assert "of held-out running" in told


def test_a_fit_without_an_evaluation_says_so_and_makes_the_same_model(train: Path) -> None:
    with_it: dict[str, Any] = json.loads(fitted(train, "--json"))
    without: dict[str, Any] = json.loads(fitted(train, "--json", "--no-evaluation", "--overwrite"))
    assert without.pop("injected_faults") == {"not_evaluated": "it was not asked for"}
    assert len(with_it.pop("injected_faults")["by_kind"]) == 7
    for told in (with_it, without):
        told.pop("model")
    assert with_it == without


def test_with_shape_the_level_of_a_signal_does_not_count(train: Path) -> None:
    scores = {}
    for options in ((), ("--shape",)):
        fitted(train, "--no-evaluation", "--overwrite", *options)
        detector = read_bundle(train.parent / "model").detector
        times = 1_000 * np.arange(600, dtype=np.int64)
        values = 50.0 + np.random.default_rng(2).normal(10.0, 1.0, size=(600, 2))
        found, _ = detector.score(Window.empty(detector.sensors), times, values)
        scores[options] = float(np.nanmedian(found.score))
    assert scores["--shape",] < 1.0 < scores[()]
