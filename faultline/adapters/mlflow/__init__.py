"""MLflow behind the registry port, through its light client: no pandas, no scikit-learn needed."""

import os

# Read when mlflow is imported, so set before: a machine's readings are nobody else's business.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from faultline.adapters.mlflow.registry import MlflowRegistry

__all__ = ["MlflowRegistry"]
