"""Asking MLflow: versions and runs, and the tags by which they and the DAG runs know each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
from airflow.sdk import BaseHook

from model_lifecycle.services import MLFLOW, ask, base_url, service

_API = "/api/2.0/mlflow"
_PAGE = 1_000
_LONGEST_TAG = 4_000

Json = dict[str, Any]


@contextmanager
def the_registry() -> Iterator[Registry]:
    """MLflow behind Airflow's connection.

    Links lead to the connection's extra ``ui`` if it has one: browsers may come by another name.
    """
    connection = BaseHook.get_connection(MLFLOW)
    with service(MLFLOW) as client:
        yield Registry(client, connection.extra_dejson.get("ui") or base_url(connection))


class Registry:
    """MLflow's REST interface, as far as the DAGs need it."""

    def __init__(self, client: httpx.Client, ui: str) -> None:
        self._client = client
        self._ui = ui.rstrip("/")

    def require_ready(self) -> None:
        """Raise unless it answers, its database included."""
        ask(self._client, "GET", "/health")
        self._get("experiments/search", max_results=1)

    def versions(self, where: str = "") -> list[Json]:
        """Versions of all models, or those that a filter of MLflow's names."""
        query: Json = {"max_results": _PAGE, **({"filter": where} if where else {})}
        return list(self._pages("model-versions/search", "model_versions", query))

    def tag_version(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            body = {"name": name, "version": version, "key": key, "value": value[:_LONGEST_TAG]}
            ask(self._client, "POST", f"{_API}/model-versions/set-tag", json=body)

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        for key, value in tags.items():
            body = {"run_id": run_id, "key": key, "value": value[:_LONGEST_TAG]}
            ask(self._client, "POST", f"{_API}/runs/set-tag", json=body)

    def run(self, run_id: str) -> Json:
        """A run, its tags included."""
        return dict(self._get("runs/get", run_id=run_id)["run"])

    def run_link(self, run_id: str) -> str:
        """The page of a run."""
        experiment = self.run(run_id)["info"]["experiment_id"]
        return f"{self._ui}/#/experiments/{experiment}/runs/{run_id}"

    def version_link(self, name: str, version: str) -> str:
        """The page of a version."""
        return f"{self._ui}/#/models/{quote(name)}/versions/{version}"

    def ended_runs(self, before_ms: int) -> list[Json]:
        """Runs of all experiments that ended before a moment, deleted ones aside."""
        experiments = self._pages("experiments/search", "experiments", {"max_results": _PAGE})
        body: Json = {
            "experiment_ids": [one["experiment_id"] for one in experiments],
            "run_view_type": "ACTIVE_ONLY",
            "filter": f"attributes.end_time < {before_ms}",
            "max_results": _PAGE,
        }
        found: list[Json] = []
        while body["experiment_ids"]:
            page = ask(self._client, "POST", f"{_API}/runs/search", json=body).json()
            found += page.get("runs", [])
            body["page_token"] = page.get("next_page_token")
            if not body["page_token"]:
                break
        return found

    def delete_run(self, run_id: str) -> None:
        """Delete a run; MLflow can restore it until its garbage is collected."""
        ask(self._client, "POST", f"{_API}/runs/delete", json={"run_id": run_id})

    def _pages(self, path: str, field: str, query: Json) -> Iterator[Json]:
        token = None
        while True:
            page = self._get(path, **query, **({"page_token": token} if token else {}))
            yield from page.get(field, [])
            token = page.get("next_page_token")
            if not token:
                return

    def _get(self, path: str, **query: Any) -> Json:
        return dict(ask(self._client, "GET", f"{_API}/{path}", params=query).json())


def tags_of(one: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a version, or of a run, as MLflow answers with them."""
    tags = one["data"].get("tags", []) if "data" in one else one.get("tags", [])
    return {tag["key"]: tag["value"] for tag in tags}
