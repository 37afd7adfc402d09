"""The tags by which a run in MLflow tells which DAG run asked for it, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.types import TaskInstanceKey


def dag_run_link(dag_id: str, run_id: str) -> str:
    """The page of a DAG run."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"


def dag_run_tags(context: Mapping[str, Any]) -> dict[str, str]:
    """Which DAG run it was: id, link, and what triggered it (for a person, also who)."""
    dag_run = context["dag_run"]
    trigger = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    if dag_run.triggering_user_name:
        trigger = f"{trigger} by {dag_run.triggering_user_name}"
    tags = {
        "airflow.dag_id": dag_run.dag_id,
        "airflow.dag_run_id": dag_run.run_id,
        "airflow.dag_run_link": dag_run_link(dag_run.dag_id, dag_run.run_id),
        "airflow.trigger": trigger,
    }
    if dag_run.logical_date is not None:
        tags["airflow.logical_date"] = dag_run.logical_date.isoformat()
    return tags


class MLflowRunLink(BaseOperatorLink):
    """From a task to the run in MLflow, once the operator has its `run_link`."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page of the run; nothing before there is one."""
        return getattr(operator, "run_link", "")


class ModelVersionLink(BaseOperatorLink):
    """From a task to the version in MLflow, once the operator has its `version_link`."""

    name = "Model version"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page of the version; nothing before there is one."""
        return getattr(operator, "version_link", "")
