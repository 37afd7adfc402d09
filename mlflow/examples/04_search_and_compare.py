"""Find runs by what they measured, and compare two versions of a model on the same data.

Run 02_model_registry.py and 05_example_training.py first: this searches what they have logged.

    python 04_search_and_compare.py
"""

import os

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5001"))
EXPERIMENT = os.environ.get("EXAMPLE_EXPERIMENT", "examples-training")
MODEL = os.environ.get("EXAMPLE_MODEL", "example-pump-classifier")


def search() -> None:
    """Runs above a figure, best first. Metrics, params, tags and attributes can be asked for."""
    runs = mlflow.search_runs(
        experiment_names=[EXPERIMENT],
        filter_string="metrics.f1 > 0.6 and attributes.status = 'FINISHED'",
        order_by=["metrics.f1 DESC"],
        max_results=5,
    )
    print(f"runs of {EXPERIMENT} with F1 above 0.6, best first")
    for _, run in runs.iterrows():
        print(f"  {run['run_id'][:8]}  F1 {run['metrics.f1']:.4f}  trees {run['params.trees']}")
    if runs.empty:
        print("  none: run 05_example_training.py")


def compare(one: str, other: str) -> None:
    """A/B: both versions on the same held-out rows, with a bootstrap interval of the difference."""
    features, failed = make_classification(
        n_samples=1_500, n_features=8, n_informative=5, class_sep=1.2, random_state=7
    )
    _, held_out, _, truth = train_test_split(features, failed, test_size=0.3, random_state=7)
    right = {}
    for version in (one, other):
        model = mlflow.pyfunc.load_model(f"models:/{MODEL}/{version}")
        right[version] = model.predict(held_out) == truth
        print(f"  version {version}: {right[version].mean():.2%} right of {len(truth)}")
    gain = right[other].astype(float) - right[one]
    resampled = np.random.default_rng(0).choice(gain, (2_000, len(gain))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    print(f"  difference {gain.mean():+.2%}, 95% between {low:+.2%} and {high:+.2%}")
    if low > 0:
        print(f"  version {other} is better")
    elif high < 0:
        print(f"  version {one} is better")
    else:
        print("  no difference can be told with this much data")


def main() -> None:
    search()
    versions = MlflowClient().search_model_versions(
        f"name = '{MODEL}'", order_by=["version_number DESC"], max_results=2
    )
    if len(versions) < 2:
        raise SystemExit(f"{MODEL} needs two versions: run 02_model_registry.py")
    newer, older = (version.version for version in versions)
    print(f"A/B of versions {older} and {newer} of {MODEL}")
    compare(older, newer)


if __name__ == "__main__":
    main()
