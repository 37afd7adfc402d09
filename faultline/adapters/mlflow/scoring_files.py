"""The files that make a bundle a model of MLflow's: `MLmodel`, `model.py` and what they require.

For clients of MLflow alone; the predictor reads none of them. Written by hand, because MLflow's own
way imports pandas and scores an example with every model that it logs.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import yaml

from faultline.ports.registry import ScoringForm

BUNDLE = "bundle"
"""Subfolder of the model with the bundle's files, and nothing else."""

OWN_COLUMNS = ("machine_id", "timestamp")
"""Columns of the input that are no sensors. A sensor of such a name is passed over."""

OUTPUTS = {
    "score": "double",
    "status": "string",
    "cluster": "long",
    "known": "boolean",
    "top_sensor": "string",
    "top_share": "double",
}
"""Columns that `faultline.adapters.mlflow.pyfunc` answers with, by MLflow's types."""

_CODE = '''"""Run by MLflow to load this model. All that it knows is data, in the folder bundle."""

import mlflow.models

from faultline.adapters.mlflow.pyfunc import ScoringModel

mlflow.models.set_model(ScoringModel())
'''


def write_scoring_files(folder: Path, form: ScoringForm, *, run_id: str, location: str) -> None:
    """Write the files into a folder, to be uploaded beside `BUNDLE`.

    Parameters
    ----------
    location
        Artifact URI of the model's folder.
    """
    # Of the full MLflow, which serves models and which we need not have.
    mlflow_version = version("mlflow-skinny")
    requirements = [
        f"faultline=={version('faultline')}",
        f"mlflow=={mlflow_version}",
        f"numpy=={version('numpy')}",
    ]
    (folder / "model.py").write_text(_CODE, encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    _write_yaml(
        folder / "python_env.yaml",
        {
            "python": platform.python_version(),
            "build_dependencies": ["pip"],
            "dependencies": ["-r requirements.txt"],
        },
    )
    _write_yaml(
        folder / "MLmodel",
        {
            "artifact_path": location,
            "flavors": {
                "python_function": {
                    "artifacts": {BUNDLE: {"path": BUNDLE, "uri": BUNDLE}},
                    "config": {"step_ms": form.step_ms},
                    "env": {"virtualenv": "python_env.yaml"},
                    "loader_module": "mlflow.pyfunc.model",
                    "model_code_path": "model.py",
                    "python_version": platform.python_version(),
                    "streamable": False,
                }
            },
            # For people: MLflow shows it beside the model, and does nothing with it.
            "metadata": {"sensors": list(form.sensors), "other_columns": list(OWN_COLUMNS)},
            "mlflow_version": mlflow_version,
            "model_uuid": uuid4().hex,
            "run_id": run_id,
            "signature": _signature(),
            "utc_time_created": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}",
        },
    )


def _signature() -> dict[str, Any]:
    """Of what comes out alone: what goes in, `faultline.adapters.mlflow.pyfunc` checks itself.

    Told of the inputs, MLflow reads no CSV where a column may be text or a number, refuses whole
    numbers where it is told of doubles, and forgets rows that have no known column.
    """
    outputs = [{"name": name, "type": kind, "required": True} for name, kind in OUTPUTS.items()]
    return {"inputs": None, "outputs": msgspec.json.encode(outputs).decode(), "params": None}


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
