"""Use a registered model: loaded in this process, and asked over HTTP.

Serve it first, in another terminal (02_model_registry.py has registered it):

    mlflow/scripts/serve-model.sh example-pump-classifier production
    python 03_model_serving.py

The server is looked for at MODEL_SERVER, else at port SERVE_PORT of this host, else at port 5002.
"""

import os

import mlflow
import numpy as np
import requests
from sklearn.datasets import make_classification

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://localhost:5001"))
MODEL = os.environ.get("EXAMPLE_MODEL", "example-pump-classifier")
SERVER = os.environ.get("MODEL_SERVER", f"http://localhost:{os.environ.get('SERVE_PORT', '5002')}")


def rows() -> np.ndarray:
    features, _ = make_classification(
        n_samples=1_500, n_features=8, n_informative=5, class_sep=1.2, random_state=7
    )
    return features[:5]


def ask(payload: dict) -> list:
    answer = requests.post(f"{SERVER}/invocations", json=payload, timeout=30)
    if not answer.ok:
        raise SystemExit(f"{answer.status_code}: {answer.text}")
    return answer.json()["predictions"]


def main() -> None:
    # By alias, so that a promotion needs no change here.
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@production")
    in_process = model.predict(rows()).tolist()
    print("in this process:       ", in_process)

    try:
        requests.get(f"{SERVER}/ping", timeout=5).raise_for_status()
    except requests.ConnectionError:
        raise SystemExit(
            f"nothing answers at {SERVER}: mlflow/scripts/serve-model.sh {MODEL} production, "
            "or set MODEL_SERVER to where it is"
        ) from None
    # The forms that the server takes; a model with named columns takes dataframe_split too.
    over_http = ask({"inputs": rows().tolist()})
    print("over HTTP:             ", over_http)
    print("over HTTP, as instances:", ask({"instances": rows().tolist()}))

    refused = requests.post(f"{SERVER}/invocations", json={"rows": [[1.0]]}, timeout=30)
    print("a body it does not know:", refused.status_code)
    if in_process != over_http:
        raise SystemExit("the two differ: the server has another version; restart it")
    print("both agree")


if __name__ == "__main__":
    main()
