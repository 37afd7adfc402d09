"""A whole training: data, a classifier, its figures and pictures, and a registered version.

The data are synthetic: six sensors of pumps, and a failure that shows in two of them.

    python 05_example_training.py
"""

import os

import matplotlib as mpl
import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

mpl.use("Agg")
import matplotlib.pyplot as plt
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5001"))
EXPERIMENT = os.environ.get("EXAMPLE_EXPERIMENT", "examples-training")
MODEL = os.environ.get("EXAMPLE_MODEL", "example-pump-training")
SENSORS = ["pressure", "flow", "vibration", "temperature", "current", "speed"]


def readings(rows: int = 3_000, seed: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    """Readings of pumps; one in eight belongs to a pump that fails."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, len(SENSORS))), columns=SENSORS)
    frame["flow"] += 0.8 * frame["speed"]
    failed = random.random(rows) < 0.125
    frame.loc[failed, "vibration"] += random.gamma(4, 0.6, failed.sum())
    frame.loc[failed, "temperature"] += random.gamma(3, 0.5, failed.sum())
    return frame, failed.astype(int)


def importances(model: RandomForestClassifier) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    order = np.argsort(model.feature_importances_)
    axes.barh(np.array(SENSORS)[order], model.feature_importances_[order])
    axes.set(title="What the model looks at", xlabel="importance")
    return figure


def main() -> None:
    mlflow.set_experiment(EXPERIMENT)
    frame, failed = readings()
    train, held_out, train_failed, truth = train_test_split(
        frame, failed, test_size=0.3, random_state=3, stratify=failed
    )
    trees, depth = 120, 8
    with mlflow.start_run(run_name="pump failures") as run:
        mlflow.log_params({"trees": trees, "depth": depth, "train_rows": len(train)})
        mlflow.log_input(mlflow.data.from_pandas(train, name="pump-readings"), context="training")
        model = RandomForestClassifier(trees, max_depth=depth, random_state=3)
        model.fit(train, train_failed)

        share = model.predict_proba(held_out)[:, 1]
        found = model.predict(held_out)
        figures = {
            "f1": f1_score(truth, found),
            "precision": precision_score(truth, found),
            "recall": recall_score(truth, found),
            "roc_auc": roc_auc_score(truth, share),
        }
        mlflow.log_metrics(figures)
        mlflow.log_dict(
            dict(zip(SENSORS, model.feature_importances_.tolist(), strict=True)),
            "feature_importances.json",
        )
        plots = {
            "feature_importances": importances(model),
            "confusion_matrix": ConfusionMatrixDisplay.from_predictions(truth, found).figure_,
            "roc_curve": RocCurveDisplay.from_predictions(truth, share).figure_,
        }
        for name, figure in plots.items():
            mlflow.log_figure(figure, f"plots/{name}.png")
            plt.close(figure)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(train, found),
            pip_requirements=["scikit-learn"],
            registered_model_name=MODEL,
            # No pickle: whoever loads it runs no code of whoever wrote it. A forest's trees have to
            # be named as trusted.
            serialization_format="skops",
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
    client = mlflow.MlflowClient()
    version = info.registered_model_version
    for name, value in figures.items():
        client.set_model_version_tag(MODEL, version, name, f"{value:.4f}")
    client.update_model_version(MODEL, version, "A random forest on six sensors of pumps.")
    print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    print(f"{MODEL} version {version}, run {run.info.run_id}")


if __name__ == "__main__":
    main()
