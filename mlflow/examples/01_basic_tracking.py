"""Track runs: parameters, metrics over time, tags, artifacts, and children of a run.

export MLFLOW_TRACKING_URI=http://localhost:5001
python 01_basic_tracking.py
"""

import math
import os
import tempfile
from pathlib import Path

import mlflow

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5001"))
EXPERIMENT = os.environ.get("EXAMPLE_EXPERIMENT", "examples-tracking")


def train(learning_rate: float, steps: int) -> float:
    """Go down a bowl; every step's loss is a point of the metric's curve."""
    position = 4.0
    for step in range(steps):
        position -= learning_rate * 2 * position
        mlflow.log_metric("loss", position**2, step=step)
    return position**2


def main() -> None:
    mlflow.set_experiment(EXPERIMENT)
    best = math.inf
    with mlflow.start_run(run_name="learning rates") as parent:
        # Tags are for finding a run again: who, what for, with which data.
        mlflow.set_tags({"use_case": "example", "dataset_version": "none"})
        for learning_rate in (0.02, 0.1, 0.4):
            with mlflow.start_run(run_name=f"rate {learning_rate}", nested=True):
                mlflow.log_params({"learning_rate": learning_rate, "steps": 20})
                loss = train(learning_rate, steps=20)
                print(f"learning rate {learning_rate:<5} final loss {loss:.6f}")
                best = min(best, loss)
        mlflow.log_metric("best_loss", best)
        mlflow.log_dict({"tried": [0.02, 0.1, 0.4]}, "search.json")
        with tempfile.TemporaryDirectory() as folder:
            notes = Path(folder) / "notes.md"
            notes.write_text(f"The best loss is {best:.6f}.\n")
            mlflow.log_artifact(str(notes))

    # Read it all back, as another program would.
    run = mlflow.get_run(parent.info.run_id)
    artifacts = mlflow.artifacts.list_artifacts(run_id=parent.info.run_id)
    print(
        f"run {run.info.run_id} is {run.info.status}, best loss {run.data.metrics['best_loss']:.6f}"
    )
    print("artifacts:", ", ".join(file.path for file in artifacts))
    print(f"{mlflow.get_tracking_uri()}/#/experiments/{run.info.experiment_id}")


if __name__ == "__main__":
    main()
