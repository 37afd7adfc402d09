"""Says whether a model can be served: that the registry has such a version."""

from __future__ import annotations

import sys

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version
from place import fail

_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")


def require_version(client: MlflowClient, uri: str) -> None:
    """End with a message when there is no version behind a `models:/` URI."""
    try:
        client.get_model_version(*get_model_name_and_version(client, uri))
    except MlflowException as error:
        # Whether the model server's own account may see it is for the model server to say.
        if error.error_code not in _REFUSED:
            fail(f"{uri} cannot be served: {_told(error)}; {_known(client)}")


def _told(error: MlflowException) -> str:
    return error.message.removeprefix(f"{error.error_code}: ").rstrip(".")


def _known(client: MlflowClient) -> str:
    names = [model.name for model in client.search_registered_models(max_results=20)]
    return f"registered are: {', '.join(names)}" if names else "no model is registered yet"


if __name__ == "__main__":
    require_version(MlflowClient(), sys.argv[1])
