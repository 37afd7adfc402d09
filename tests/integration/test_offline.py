"""A model that was fitted to a file, registered in the real MLflow, and pulled again by name."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from typer.testing import CliRunner

from faultline.adapters.mlflow import MlflowRegistry
from faultline.bundle import read_bundle
from faultline.cli import app
from faultline.local.home import Endpoints
from faultline.ports.registry import TrainingRun
from faultline.settings import RegistrySettings

pytestmark = pytest.mark.real


def done(*args: object) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_registered_version_scores_as_the_folder_that_it_was_registered_from(
    platform: Endpoints, tmp_path: Path
) -> None:
    rows = np.random.default_rng(1).normal(10.0, 1.0, size=(600, 2)).tolist()
    lines = ["timestamp,heat,flow", *(f"{1_000 * row},{a},{b}" for row, (a, b) in enumerate(rows))]
    train = tmp_path / "train.csv"
    train.write_text("\n".join(lines))
    machine_type = f"offline-{uuid4().hex[:8]}"
    folder = tmp_path / "run" / "model"
    done("fit", "--input", train, "--model", folder, "--machine-type", machine_type)

    name = f"faultline-{machine_type}"
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
    run_id = registry.log_run(TrainingRun("offline", "file", {}, [], {}, folder.parent))
    total = read_bundle(folder).sha256
    version = registry.register(name, run_id, {"bundle_sha256": total}, "from a file").version
    registry.promote(name, version)

    plain = tmp_path / "plain.csv"
    done("score", "--model", folder, "--input", train, "--output", plain)
    for reference in (f"models:/{name}@production", f"models:/{name}/{version}"):
        pulled = tmp_path / "pulled.csv"
        told = json.loads(
            done(
                *("score", "--model", reference, "--registry", platform.mlflow),
                *("--input", train, "--output", pulled, "--json"),
            )
        )
        assert told["model"] == {"name": name, "version": version}
        assert pulled.read_text() == plain.read_text()
