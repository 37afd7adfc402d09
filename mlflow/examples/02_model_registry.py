"""The life of a version: None, Staging, Production, Archived, with a gate before Production.

Each version is validated on held-out data and keeps the result as tags. Only a version that
passed, and is better than the one in Production, takes its place; the former one is archived. The
alias `production` moves along: it is what a service should load; the stages are for people.

    python 02_model_registry.py
"""

import os
import warnings
from datetime import UTC, datetime

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

# MLflow calls stages deprecated and keeps them; the aliases below do not depend on them.
warnings.filterwarnings("ignore", message=".*model registry stages.*", category=FutureWarning)
warnings.filterwarnings("ignore", message=".*transition_model_version_stage.*")
warnings.filterwarnings("ignore", message=".*get_latest_versions.*")

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5001"))
EXPERIMENT = os.environ.get("EXAMPLE_EXPERIMENT", "examples-registry")
MODEL = os.environ.get("EXAMPLE_MODEL", "example-pump-classifier")
LEAST_F1 = 0.8


def data() -> list:
    features, failed = make_classification(
        n_samples=1_500, n_features=8, n_informative=5, class_sep=1.2, random_state=7
    )
    return train_test_split(features, failed, test_size=0.3, random_state=7)


def register(trees: int, depth: int) -> ModelVersion:
    """Train, log and register one version. It begins in the stage None."""
    train, _, train_failed, _ = data()
    with mlflow.start_run(run_name=f"{trees} trees of depth {depth}"):
        mlflow.log_params({"trees": trees, "depth": depth})
        model = RandomForestClassifier(trees, max_depth=depth, random_state=7)
        model.fit(train, train_failed)
        # A given signature and given requirements take a second; guessing them takes ten.
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(train, model.predict(train)),
            pip_requirements=["scikit-learn"],
            registered_model_name=MODEL,
            # No pickle: whoever loads it runs no code of whoever wrote it. A forest's trees have to
            # be named as trusted.
            serialization_format="skops",
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
    return MlflowClient().get_model_version(MODEL, info.registered_model_version)


def validate(client: MlflowClient, version: ModelVersion) -> float:
    """Score held-out data with the version itself, as loaded from the registry; tag the result."""
    _, held_out, _, failed = data()
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}/{version.version}")
    f1 = float(f1_score(failed, model.predict(held_out)))
    tags = {
        "validation_status": "passed" if f1 >= LEAST_F1 else "failed",
        "validation_f1": f"{f1:.4f}",
        "validation_rows": str(len(held_out)),
        "validated_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for key, value in tags.items():
        client.set_model_version_tag(MODEL, version.version, key, value)
    return f1


def production(client: MlflowClient) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(MODEL, "production")
    except MlflowException:
        return None


def promote_if_better(client: MlflowClient, version: str) -> bool:
    """The gate: passed, and better than what is there. Else it stays in Staging and says why."""
    candidate = client.get_model_version(MODEL, version)
    champion = production(client)
    reason = None
    if candidate.tags["validation_status"] != "passed":
        reason = f"F1 {candidate.tags['validation_f1']} is below {LEAST_F1}"
    elif champion is not None:
        theirs, ours = champion.tags["validation_f1"], candidate.tags["validation_f1"]
        if float(ours) <= float(theirs):
            reason = f"F1 {ours} is not above {theirs} of version {champion.version}"
    if reason is not None:
        client.set_model_version_tag(MODEL, version, "gate", "refused")
        client.set_model_version_tag(MODEL, version, "gate_reason", reason)
        print(f"version {version} stays in Staging: {reason}")
        return False
    client.set_model_version_tag(MODEL, version, "gate", "passed")
    # The former one goes to Archived in the same call.
    client.transition_model_version_stage(
        MODEL, version, "Production", archive_existing_versions=True
    )
    client.set_registered_model_alias(MODEL, "production", version)
    print(f"version {version} is in Production")
    return True


def main() -> None:
    mlflow.set_experiment(EXPERIMENT)
    client = MlflowClient()
    # One that is too small to pass, one that passes, and one that is better.
    for trees, depth in ((1, 1), (10, 4), (150, 12)):
        version = register(trees, depth)
        print(f"version {version.version} is registered, stage {version.current_stage}")
        client.transition_model_version_stage(MODEL, version.version, "Staging")
        f1 = validate(client, version)
        print(f"version {version.version} is validated, F1 {f1:.4f}")
        promote_if_better(client, version.version)

    client.update_registered_model(MODEL, description="Tells failing pumps from healthy ones.")
    print("\nversion  stage       F1      gate")
    found = client.search_model_versions(f"name = '{MODEL}'")
    for one in sorted(found, key=lambda version: int(version.version)):
        print(
            f"{one.version:<8} {one.current_stage:<11} {one.tags['validation_f1']:<7} "
            f"{one.tags['gate']}"
        )


if __name__ == "__main__":
    main()
