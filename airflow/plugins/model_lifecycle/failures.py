"""Telling whoever listens: of tasks that failed for good, and of what maintenance found."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from model_lifecycle.provenance import dag_run_link
from model_lifecycle.services import ALERTS, base_url, credentials

_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


def tell_failure(context: Mapping[str, Any]) -> None:
    """Log a task that has failed for good, and `send` that."""
    ti = context["ti"]
    told = {
        "event": "task failed",
        "dag_id": ti.dag_id,
        "dag_run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "try_number": ti.try_number,
        "link": dag_run_link(ti.dag_id, ti.run_id),
        "error": str(context.get("exception") or "unknown"),
    }
    log.error("Failed for good: %s", told)
    send(told)


def send(told: Mapping[str, Any]) -> None:
    """Post a message as JSON to the connection `faultline_alerts`, if there is one.

    Its extra ``path`` names the path. That a message does not arrive fails nothing more.
    """
    try:
        connection = BaseHook.get_connection(ALERTS)
    except (AirflowNotFoundException, AirflowRuntimeError):
        return
    url = base_url(connection) + str(connection.extra_dejson.get("path", "/"))
    try:
        answer = httpx.post(url, json=told, auth=credentials(connection), timeout=_TIMEOUT_S)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        log.warning("The message to %s did not arrive: %r", url, error)
